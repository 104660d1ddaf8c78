import type { Logger } from "pino";
import { newKey } from "../control/hosts/access-keys.ts";
import { rotationOf } from "../control/hosts/access-key-rotation.ts";
import type { Keyring } from "../keys/seal.ts";
import {
  accessKeyInterval,
  accountsWithAccessKeys,
  deleteAccessKeys,
  insertAccessKey,
  listAccessKeys,
} from "../store/access/access.ts";
import type { Store } from "../store/store.ts";
import { Rounds } from "./rounds.ts";

interface Options {
  readonly store: Store;
  readonly keyring: Keyring;
  readonly clock: () => Date;
  readonly log: Logger;
}

/** ms between two looks. */
const INTERVAL = 60_000;

/** Rotates the keys of Access while the platform runs. Its whole state is in the store. */
export function keepAccessKeysFresh(options: Options): AsyncDisposable {
  const rounds = new Rounds();
  rounds.begin(() => rotateAccessKeys(options), {
    interval: INTERVAL,
    failed: (err) => options.log.error({ err }, "the keys of Access are not rotated"),
  });
  return rounds;
}

/** Publishes each key a day before it signs, and removes a key when its last assertion has expired. */
export async function rotateAccessKeys({ store, keyring, clock, log }: Options): Promise<void> {
  for (const accountId of await accountsWithAccessKeys(store.db)) {
    const now = clock();
    const days = await accessKeyInterval(store.db, accountId);
    const { next, over } = rotationOf(await listAccessKeys(store.db, accountId), days, now);
    if (next === null && over.length === 0) continue;
    const fresh = next === null ? null : await newKey(keyring, accountId, now, next);
    await store.housekeep(async ({ db, changed }) => {
      // Another process may have rotated them meanwhile.
      const due = rotationOf(await listAccessKeys(db, accountId), days, now);
      await deleteAccessKeys(db, due.over);
      if (due.next !== null && fresh !== null) await insertAccessKey(db, fresh);
      await changed({ kind: "access", accountId });
    });
    log.info({ accountId, next, over }, "keys of Access were rotated");
  }
}
