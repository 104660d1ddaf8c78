import type { Untyped } from "./untyped.ts";

/** Zones that were made, server certificates of hosts, and the CA of the machine's own names. */
export async function hosts(db: Untyped): Promise<void> {
  await db.schema
    .createTable("zones")
    .addColumn("id", "text", (c) => c.primaryKey())
    .addColumn("accountId", "text", (c) =>
      c.notNull().references("accounts.id").onDelete("cascade"),
    )
    .addColumn("name", "text", (c) => c.notNull().unique())
    .addColumn("createdOn", "text", (c) => c.notNull())
    .execute();
  await db.schema
    .createTable("hostCertificates")
    .addColumn("id", "text", (c) => c.primaryKey())
    .addColumn("accountId", "text", (c) =>
      c.notNull().references("accounts.id").onDelete("cascade"),
    )
    // Of the zone, by name: not every zone was made.
    .addColumn("zone", "text", (c) => c.notNull())
    .addColumn("hosts", "text", (c) => c.notNull())
    .addColumn("chain", "text", (c) => c.notNull())
    .addColumn("sealedKey", "text", (c) => c.notNull())
    .addColumn("bundleMethod", "text", (c) => c.notNull())
    .addColumn("priority", "integer", (c) => c.notNull())
    // upload, folder or acme
    .addColumn("source", "text", (c) => c.notNull())
    // A folder on this machine that is followed.
    .addColumn("folder", "text")
    .addColumn("uploadedOn", "text", (c) => c.notNull())
    .addColumn("modifiedOn", "text", (c) => c.notNull())
    .addColumn("notAfter", "text", (c) => c.notNull())
    .execute();
  await db.schema
    .createIndex("host_certificates_account_index")
    .on("hostCertificates")
    .columns(["accountId", "zone"])
    .execute();
  await db.schema
    .createTable("localAuthorities")
    .addColumn("id", "text", (c) => c.primaryKey())
    .addColumn("certificate", "text", (c) => c.notNull())
    .addColumn("sealedKey", "text", (c) => c.notNull())
    .addColumn("createdOn", "text", (c) => c.notNull())
    .execute();
}
