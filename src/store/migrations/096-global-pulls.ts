import type { Untyped } from "./untyped.ts";

/** What all zones may show their origins: certificates of a CA of this installation. */
export async function globalPulls(db: Untyped): Promise<void> {
  await db.schema
    .createTable("pullAuthorities")
    .addColumn("id", "text", (c) => c.primaryKey())
    .addColumn("certificate", "text", (c) => c.notNull())
    .addColumn("sealedKey", "text", (c) => c.notNull())
    .addColumn("notAfter", "text", (c) => c.notNull())
    .addColumn("createdOn", "text", (c) => c.notNull())
    .execute();
  await db.schema
    .createTable("globalPullZones")
    // The id of the zone, which is of one account.
    .addColumn("id", "text", (c) => c.primaryKey())
    .addColumn("accountId", "text", (c) =>
      c.notNull().references("accounts.id").onDelete("cascade"),
    )
    .addColumn("zone", "text", (c) => c.notNull())
    .addColumn("enabled", "integer", (c) => c.notNull())
    .addColumn("modifiedOn", "text", (c) => c.notNull())
    .execute();
}
