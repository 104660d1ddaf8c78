import type { Untyped } from "./untyped.ts";

/** Which files versions serve. Their contents are beside the database. */
export async function assets(db: Untyped): Promise<void> {
  await db.schema
    .createTable("assetManifests")
    .addColumn("id", "text", (c) => c.primaryKey())
    .addColumn("accountId", "text", (c) =>
      c.notNull().references("accounts.id").onDelete("cascade"),
    )
    .addColumn("files", "text", (c) => c.notNull())
    .execute();
  await db.schema
    .createTable("assetSessions")
    .addColumn("tokenHash", "text", (c) => c.primaryKey())
    .addColumn("accountId", "text", (c) =>
      c.notNull().references("accounts.id").onDelete("cascade"),
    )
    .addColumn("scriptName", "text", (c) => c.notNull())
    .addColumn("manifestId", "text", (c) => c.notNull())
    .addColumn("expiresOn", "text", (c) => c.notNull())
    .execute();
}
