import type { Untyped } from "./untyped.ts";

/** What hosts ask of their clients, the certificates issued to them, and what was revoked. */
export async function hostClients(db: Untyped): Promise<void> {
  await db.schema
    .createTable("hostClients")
    .addColumn("accountId", "text", (c) =>
      c.notNull().references("accounts.id").onDelete("cascade"),
    )
    .addColumn("host", "text", (c) => c.notNull())
    // optional or required
    .addColumn("mode", "text", (c) => c.notNull())
    .addColumn("forward", "integer", (c) => c.notNull())
    .addPrimaryKeyConstraint("host_clients_key", ["accountId", "host"])
    .execute();
  await db.schema
    .createTable("hostAuthorities")
    .addColumn("accountId", "text", (c) =>
      c.notNull().references("accounts.id").onDelete("cascade"),
    )
    .addColumn("host", "text", (c) => c.notNull())
    // Of an uploaded CA, or "managed": the account's own.
    .addColumn("authorityId", "text", (c) => c.notNull())
    .addPrimaryKeyConstraint("host_authorities_key", ["accountId", "host", "authorityId"])
    .execute();
  await db.schema
    .createTable("clientRevocations")
    .addColumn("id", "text", (c) => c.primaryKey())
    .addColumn("accountId", "text", (c) =>
      c.notNull().references("accounts.id").onDelete("cascade"),
    )
    .addColumn("serial", "text")
    .addColumn("issuer", "text")
    .addColumn("fingerprint", "text")
    .addColumn("createdOn", "text", (c) => c.notNull())
    .execute();
  await db.schema
    .createTable("clientCertificates")
    .addColumn("id", "text", (c) => c.primaryKey())
    .addColumn("accountId", "text", (c) =>
      c.notNull().references("accounts.id").onDelete("cascade"),
    )
    .addColumn("zoneId", "text", (c) => c.notNull())
    .addColumn("authorityId", "text", (c) => c.notNull())
    .addColumn("csr", "text", (c) => c.notNull())
    .addColumn("certificate", "text", (c) => c.notNull())
    .addColumn("serial", "text", (c) => c.notNull())
    .addColumn("fingerprint", "text", (c) => c.notNull())
    .addColumn("validityDays", "integer", (c) => c.notNull())
    .addColumn("issuedOn", "text", (c) => c.notNull())
    .addColumn("notAfter", "text", (c) => c.notNull())
    .addColumn("revokedOn", "text")
    .execute();
  await db.schema
    .createIndex("client_certificates_zone_index")
    .on("clientCertificates")
    .columns(["accountId", "zoneId"])
    .execute();
}
