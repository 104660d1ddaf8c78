import type { Untyped } from "./untyped.ts";

/**
 * Proves that the platform wrote a row of a login. Rows from before have no proof, so these people
 * sign in again.
 */
export async function oauthProofs(db: Untyped): Promise<void> {
  await db.deleteFrom("oauthRecords").execute();
  await db.schema.alterTable("oauthRecords").addColumn("sealedProof", "text").execute();
}
