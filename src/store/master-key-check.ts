import { masterKeyChangePlace, masterKeyCheckPlace } from "../keys/places.ts";
import { masterKeyIdOf, type Keyring, type Sealed } from "../keys/seal.ts";
import type { Database } from "./database.ts";

/** The id of the master key that opens this store. Null: the store is new. */
export async function wantedMasterKey(db: Database): Promise<string | null> {
  const row = await db.selectFrom("masterKeyChecks").select("sealed").executeTakeFirst();
  return row ? masterKeyIdOf(row.sealed) : null;
}

/**
 * Verifies that `keyring` opens this store, before anything is sealed with it. The first start
 * stores the record that later starts use for this.
 * @throws Failure `master_key_wrong`, `sealed_record_damaged`; nothing is changed then
 */
export async function checkMasterKey(db: Database, keyring: Keyring): Promise<void> {
  const row = await db.selectFrom("masterKeyChecks").select("sealed").executeTakeFirst();
  if (row) {
    keyring.unseal(masterKeyCheckPlace, row.sealed);
    return;
  }
  await db
    .insertInto("masterKeyChecks")
    .values({
      id: masterKeyCheckPlace.id,
      sealed: keyring.seal(masterKeyCheckPlace, "countersign"),
    })
    .execute();
}

/** A change of the master key that was begun and has not ended. */
export interface MasterKeyChange {
  /** The key that was, sealed with the one that comes. */
  readonly sealed: Sealed;
  readonly begunOn: string;
}

export async function findMasterKeyChange(db: Database): Promise<MasterKeyChange | undefined> {
  return db.selectFrom("masterKeyChanges").select(["sealed", "begunOn"]).executeTakeFirst();
}

/**
 * From the commit on, the store is started with the key that `keyring` seals with.
 * @param before the key that was, 32 bytes
 */
export async function beginMasterKeyChange(
  db: Database,
  keyring: Keyring,
  before: Uint8Array,
  now: Date,
): Promise<void> {
  await db
    .updateTable("masterKeyChecks")
    .set({ sealed: keyring.seal(masterKeyCheckPlace, "countersign") })
    .execute();
  const sealed = keyring.seal(masterKeyChangePlace, Buffer.from(before).toString("base64"));
  await db
    .insertInto("masterKeyChanges")
    .values({ id: masterKeyChangePlace.id, sealed, begunOn: now.toISOString() })
    .execute();
}

/** The key that was. @throws Failure `master_key_wrong`, `sealed_record_damaged` */
export function keyBefore(change: MasterKeyChange, keyring: Keyring): Buffer {
  return Buffer.from(keyring.unseal(masterKeyChangePlace, change.sealed), "base64");
}

export async function endMasterKeyChange(db: Database): Promise<void> {
  await db.deleteFrom("masterKeyChanges").execute();
}
