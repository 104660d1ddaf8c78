import type { Untyped } from "./untyped.ts";

/** CAs, identities of Workers, and the policies that origins follow. */
export async function identities(db: Untyped): Promise<void> {
  await db.schema
    .createTable("identityAuthorities")
    .addColumn("id", "text", (c) => c.primaryKey())
    .addColumn("accountId", "text", (c) =>
      c.notNull().references("accounts.id").onDelete("cascade"),
    )
    .addColumn("number", "integer", (c) => c.notNull())
    .addColumn("state", "text", (c) => c.notNull())
    .addColumn("root", "text", (c) => c.notNull())
    .addColumn("sealedRootKey", "text")
    .addColumn("chain", "text")
    .addColumn("sealedKey", "text", (c) => c.notNull())
    .addColumn("createdOn", "text", (c) => c.notNull())
    .addColumn("changedOn", "text", (c) => c.notNull())
    .addUniqueConstraint("identity_authorities_number", ["accountId", "number"])
    .execute();
  await db.schema
    .createTable("identities")
    .addColumn("accountId", "text", (c) =>
      c.notNull().references("accounts.id").onDelete("cascade"),
    )
    // Not a reference: when a Worker is deleted, the state of its name stays.
    .addColumn("scriptName", "text", (c) => c.notNull())
    .addColumn("version", "integer", (c) => c.notNull())
    .addColumn("revokedOn", "text")
    .addColumn("reason", "text")
    .addPrimaryKeyConstraint("identities_key", ["accountId", "scriptName"])
    .execute();
  await db.schema
    .createTable("issuedIdentities")
    .addColumn("serial", "text", (c) => c.primaryKey())
    .addColumn("accountId", "text", (c) =>
      c.notNull().references("accounts.id").onDelete("cascade"),
    )
    .addColumn("authorityId", "text", (c) => c.notNull().references("identityAuthorities.id"))
    .addColumn("scriptName", "text")
    .addColumn("issuedOn", "text", (c) => c.notNull())
    .addColumn("notAfter", "text", (c) => c.notNull())
    .addColumn("revokedOn", "text")
    .execute();
  await db.schema
    .createIndex("issued_identities_account_index")
    .on("issuedIdentities")
    .columns(["accountId", "scriptName"])
    .execute();
  await db.schema
    .createTable("policies")
    .addColumn("accountId", "text", (c) =>
      c.notNull().references("accounts.id").onDelete("cascade"),
    )
    .addColumn("name", "text", (c) => c.notNull())
    .addColumn("version", "integer", (c) => c.notNull())
    .addColumn("body", "text", (c) => c.notNull())
    .addColumn("createdOn", "text", (c) => c.notNull())
    .addColumn("author", "text", (c) => c.notNull())
    .addPrimaryKeyConstraint("policies_key", ["accountId", "name", "version"])
    .execute();
}
