import type { Keyring, Place } from "../certificates/seal.ts";
import type { Database } from "./store.ts";

const place: Place = { account: "", id: "store", kind: "master-key-check" };

/** Whether a store has been started with a master key before. */
export async function hasMasterKey(db: Database): Promise<boolean> {
  const row = await db.selectFrom("masterKeyChecks").select("id").executeTakeFirst();
  return row !== undefined;
}

/**
 * Proves that `keyring` opens what this store holds, before anything is sealed with it. The first
 * time it leaves the record that later starts are proved by.
 * @throws Failure `master_key_wrong`, `sealed_record_damaged`; nothing is changed then
 */
export async function checkMasterKey(db: Database, keyring: Keyring): Promise<void> {
  const row = await db.selectFrom("masterKeyChecks").select("sealed").executeTakeFirst();
  if (row) {
    keyring.unseal(place, row.sealed);
    return;
  }
  await db
    .insertInto("masterKeyChecks")
    .values({ id: place.id, sealed: keyring.seal(place, "countersign") })
    .execute();
}
