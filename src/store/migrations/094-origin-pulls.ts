import type { Untyped } from "./untyped.ts";

/** What origins are shown that DNS records lead to. */
export async function originPulls(db: Untyped): Promise<void> {
  await db.schema
    .createTable("originPullCertificates")
    .addColumn("id", "text", (c) => c.primaryKey())
    .addColumn("accountId", "text", (c) =>
      c.notNull().references("accounts.id").onDelete("cascade"),
    )
    .addColumn("zone", "text", (c) => c.notNull())
    .addColumn("level", "text", (c) => c.notNull())
    .addColumn("chain", "text", (c) => c.notNull())
    .addColumn("sealedKey", "text", (c) => c.notNull())
    .addColumn("issuer", "text", (c) => c.notNull())
    .addColumn("serialNumber", "text", (c) => c.notNull())
    .addColumn("signature", "text", (c) => c.notNull())
    .addColumn("notAfter", "text", (c) => c.notNull())
    .addColumn("uploadedOn", "text", (c) => c.notNull())
    .execute();
  await db.schema
    .createIndex("originPullCertificatesByAccount")
    .on("originPullCertificates")
    .columns(["accountId", "zone"])
    .execute();
  await db.schema
    .createTable("originPullHosts")
    .addColumn("id", "text", (c) => c.primaryKey())
    .addColumn("accountId", "text", (c) =>
      c.notNull().references("accounts.id").onDelete("cascade"),
    )
    .addColumn("zone", "text", (c) => c.notNull())
    .addColumn("host", "text", (c) => c.notNull())
    .addColumn("certificateId", "text", (c) => c.notNull())
    .addColumn("enabled", "integer", (c) => c.notNull())
    .addColumn("createdOn", "text", (c) => c.notNull())
    .addColumn("updatedOn", "text", (c) => c.notNull())
    .addUniqueConstraint("originPullHostsHost", ["accountId", "host"])
    .execute();
  await db.schema
    .createTable("originPullZones")
    // The id of the zone, which is of one account.
    .addColumn("id", "text", (c) => c.primaryKey())
    .addColumn("accountId", "text", (c) =>
      c.notNull().references("accounts.id").onDelete("cascade"),
    )
    .addColumn("zone", "text", (c) => c.notNull())
    .addColumn("enabled", "integer", (c) => c.notNull())
    .execute();
}
