import type { Untyped } from "./untyped.ts";

/** Records that say where the origin of a host is. */
export async function dnsRecords(db: Untyped): Promise<void> {
  await db.schema
    .createTable("dnsRecords")
    .addColumn("id", "text", (c) => c.primaryKey())
    .addColumn("accountId", "text", (c) =>
      c.notNull().references("accounts.id").onDelete("cascade"),
    )
    .addColumn("zone", "text", (c) => c.notNull())
    .addColumn("name", "text", (c) => c.notNull())
    .addColumn("type", "text", (c) => c.notNull())
    .addColumn("content", "text", (c) => c.notNull())
    .addColumn("proxied", "integer", (c) => c.notNull())
    .addColumn("ttl", "integer", (c) => c.notNull())
    .addColumn("comment", "text")
    .addColumn("tags", "text", (c) => c.notNull())
    .addColumn("createdOn", "text", (c) => c.notNull())
    .addColumn("modifiedOn", "text", (c) => c.notNull())
    .execute();
  await db.schema
    .createIndex("dnsRecordsByAccount")
    .on("dnsRecords")
    .columns(["accountId", "name"])
    .execute();
}
