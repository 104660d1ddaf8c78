import type { Untyped } from "./untyped.ts";

/** Whether an account's identities name environments, and what each that was issued is called. */
export async function identityEnvironments(db: Untyped): Promise<void> {
  await db.schema
    .alterTable("accounts")
    .addColumn("identityEnvironments", "integer", (c) => c.notNull().defaultTo(0))
    .execute();
  await db.schema.alterTable("issuedIdentities").addColumn("spiffeId", "text").execute();
}
