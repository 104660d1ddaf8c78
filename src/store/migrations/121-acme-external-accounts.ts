import type { Untyped } from "./untyped.ts";

/**
 * External account bindings: they link an account at an ACME server to an account with its
 * operator.
 */
export async function acmeExternalAccounts(db: Untyped): Promise<void> {
  await db.schema
    .createTable("acmeExternalAccounts")
    .addColumn("id", "text", (c) =>
      c.primaryKey().references("acmeAccounts.id").onDelete("cascade"),
    )
    .addColumn("accountId", "text", (c) =>
      c.notNull().references("accounts.id").onDelete("cascade"),
    )
    .addColumn("kid", "text", (c) => c.notNull())
    .addColumn("sealedKey", "text", (c) => c.notNull())
    .execute();
}
