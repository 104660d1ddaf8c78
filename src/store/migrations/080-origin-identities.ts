import type { Untyped } from "./untyped.ts";

/** SPIFFE IDs that hosts are verified by, and what roots whose key is elsewhere have to sign and have signed. */
export async function originIdentities(db: Untyped): Promise<void> {
  // JSON; null: verified by its name.
  await db.schema.alterTable("authorityTies").addColumn("spiffeIds", "text").execute();
  await db.schema.alterTable("identityAuthorities").addColumn("rootCrl", "text").execute();
  await db.schema.alterTable("identityAuthorities").addColumn("csr", "text").execute();
}
