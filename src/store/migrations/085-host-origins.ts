import type { Untyped } from "./untyped.ts";

/** Hosts that an origin answers for, and no Worker. */
export async function hostOrigins(db: Untyped): Promise<void> {
  await db.schema
    .createTable("hostOrigins")
    .addColumn("id", "text", (c) => c.primaryKey())
    .addColumn("accountId", "text", (c) =>
      c.notNull().references("accounts.id").onDelete("cascade"),
    )
    // A host leads to one origin on the whole platform.
    .addColumn("host", "text", (c) => c.notNull().unique())
    .addColumn("toHost", "text", (c) => c.notNull())
    .addColumn("toPort", "integer", (c) => c.notNull())
    .addColumn("certificateId", "text", (c) => c.notNull())
    .addColumn("createdOn", "text", (c) => c.notNull())
    .addColumn("modifiedOn", "text", (c) => c.notNull())
    .execute();
}
