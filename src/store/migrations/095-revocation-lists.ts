import type { Untyped } from "./untyped.ts";

/** What CAs say they have revoked: certificates of clients, and of CAs between. */
export async function revocationLists(db: Untyped): Promise<void> {
  await db.schema
    .createTable("revocationLists")
    .addColumn("id", "text", (c) => c.primaryKey())
    .addColumn("accountId", "text", (c) =>
      c.notNull().references("accounts.id").onDelete("cascade"),
    )
    .addColumn("url", "text")
    .addColumn("interval", "integer", (c) => c.notNull())
    .addColumn("issuer", "text", (c) => c.notNull())
    .addColumn("authority", "text", (c) => c.notNull())
    .addColumn("hash", "text", (c) => c.notNull())
    .addColumn("serials", "text", (c) => c.notNull())
    .addColumn("entries", "integer", (c) => c.notNull())
    .addColumn("thisUpdate", "text", (c) => c.notNull())
    .addColumn("nextUpdate", "text", (c) => c.notNull())
    .addColumn("takenOn", "text", (c) => c.notNull())
    .addColumn("nextCheckOn", "text")
    .addColumn("failures", "integer", (c) => c.notNull())
    .addColumn("failure", "text")
    .addColumn("createdOn", "text", (c) => c.notNull())
    .execute();
  await db.schema
    .createIndex("revocation_lists_account_index")
    .on("revocationLists")
    .column("accountId")
    .execute();
  await db.schema
    .createIndex("revocation_lists_due_index")
    .on("revocationLists")
    .column("nextCheckOn")
    .execute();
}
