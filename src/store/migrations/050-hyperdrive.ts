import type { Untyped } from "./untyped.ts";

/** Databases that Workers reach through the gateway. */
export async function hyperdrive(db: Untyped): Promise<void> {
  await db.schema
    .createTable("hyperdriveConfigs")
    .addColumn("id", "text", (c) => c.primaryKey())
    .addColumn("accountId", "text", (c) =>
      c.notNull().references("accounts.id").onDelete("cascade"),
    )
    .addColumn("name", "text", (c) => c.notNull())
    .addColumn("scheme", "text", (c) => c.notNull())
    .addColumn("host", "text", (c) => c.notNull())
    .addColumn("port", "integer", (c) => c.notNull())
    .addColumn("database", "text", (c) => c.notNull())
    .addColumn("user", "text", (c) => c.notNull())
    .addColumn("sealedPassword", "text", (c) => c.notNull())
    // No references: what is bound is not deleted, and a message says why.
    .addColumn("caCertificateId", "text")
    .addColumn("mtlsCertificateId", "text")
    .addColumn("sslmode", "text", (c) => c.notNull())
    .addColumn("connectionLimit", "integer", (c) => c.notNull())
    .addColumn("createdOn", "text", (c) => c.notNull())
    .addColumn("modifiedOn", "text", (c) => c.notNull())
    .addUniqueConstraint("hyperdrive_configs_name", ["accountId", "name"])
    .execute();
}
