import { randomBytes } from "node:crypto";
import type { Logger } from "pino";
import { Keyring, masterKeyIdOf, type Sealed } from "../keys/seal.ts";
import { ownerOfData } from "../control/api/auth.ts";
import { Failure } from "../failures/failures.ts";
import {
  beginMasterKeyChange,
  checkMasterKey,
  endMasterKeyChange,
  findMasterKeyChange,
  keyBefore,
  wantedMasterKey,
} from "../store/master-key-check.ts";
import { beginFirstStart, endFirstStart, refuseLostDatabase } from "./first-start.ts";
import { sealedColumns, type SealedRecord } from "../store/sealed-records.ts";
import { logRows } from "../store/access/log-rows.ts";
import { bindSecrets } from "../store/workers/bound-secrets.ts";
import type { Database } from "../store/database.ts";
import type { Store } from "../store/store.ts";
import {
  finishChange,
  loadMasterKey,
  stageKeyFile,
  type LoadedMasterKey,
  type MasterKeyVariables,
} from "../keys/master-key.ts";

export interface KeysOptions {
  readonly store: Store;
  readonly dataFolder: string;
  readonly variables: MasterKeyVariables;
  readonly clock: () => Date;
  readonly log: Logger;
  /** How many owners of sealed records are re-wrapped in one transaction. Default: 50. */
  readonly batch?: number;
}

/** Facts about the master key; never the key. */
export interface KeysStatus {
  /** 8 hex digits that name the key. */
  readonly masterKeyId: string;
  readonly from: string;
  /** Whether `from` is the data folder's own file, into which a change writes the new key. */
  readonly fromFolder: boolean;
  /** A change that is under way. Null: none. */
  readonly change: MasterKeyChangeStatus | null;
}

export interface MasterKeyChangeStatus {
  readonly before: string;
  readonly begunOn: string;
  readonly rewrapped: number;
  /** Records that cannot be unsealed. The change does not end until they are gone. */
  readonly damaged: readonly string[];
}

/** Passes another master key to a process that unseals. */
export type KeyHolder = (masterKey: Uint8Array) => Promise<void>;

/**
 * The master key of a running platform: checks at the start that it is the right one, and changes it online.
 *
 * A change begins with one commit: from then on the store requires the new key, and contains the old one sealed with
 * it. Then every record is wrapped again, a few in each transaction; the last one removes the old key. If the process
 * is killed in between, the next start continues.
 */
export class MasterKeys {
  readonly keyring: Keyring;
  readonly #options: KeysOptions;
  #loaded: LoadedMasterKey;
  readonly #holders: KeyHolder[] = [];
  #before: Buffer | null = null;
  #status: MasterKeyChangeStatus | null = null;
  #running: Promise<void> = Promise.resolve();
  #stopped = false;

  /**
   * Finishes an interrupted change before it resolves.
   * @throws Failure `master_key_…`: the data is sealed with another key, or there is no key. Nothing was changed then
   */
  static async open(options: KeysOptions): Promise<MasterKeys> {
    const { store, dataFolder, variables } = options;
    const wanted = await wantedMasterKey(store.db);
    if (wanted === null) {
      refuseLostDatabase(dataFolder, variables);
      beginFirstStart(dataFolder);
    }
    const loaded = await loadMasterKey({ dataFolder, variables, wanted });
    const keyring = new Keyring(loaded.key);
    const change = await findMasterKeyChange(store.db);
    if (change && keyring.masterKeyId !== wanted) throw changeBegun(keyring, wanted, loaded);
    if (wanted !== null && keyring.masterKeyId !== wanted) throw wrong(keyring, wanted, loaded);
    if (wanted === null) await store.housekeep(({ db }) => checkMasterKey(db, keyring));
    else await checkMasterKey(store.db, keyring);
    endFirstStart(dataFolder);
    store.sealWith(keyring);
    const keys = new MasterKeys(options, loaded, keyring);
    if (change) keys.#continue(keyBefore(change, keyring), change.begunOn);
    await keys.#bindSecrets();
    await logRows(store, keyring);
    if (change) await keys.#rewrapAll();
    return keys;
  }

  private constructor(options: KeysOptions, loaded: LoadedMasterKey, keyring: Keyring) {
    this.#options = options;
    this.#loaded = loaded;
    this.keyring = keyring;
  }

  /** 32 bytes. */
  get current(): Uint8Array {
    return this.#loaded.key;
  }

  /** Registers a process that needs a new key before anything is sealed with it. */
  inform(holder: KeyHolder): void {
    this.#holders.push(holder);
  }

  /**
   * Begins to wrap every record with another key. Resolves once a start would need the new one.
   * @param key 32 bytes. Default: a random key, if the key is the data folder's file
   * @throws Failure `master_key_new_missing`, `master_key_same`, `master_key_change_begun`
   */
  async change(key?: Uint8Array): Promise<KeysStatus> {
    const { store, dataFolder, clock, log } = this.#options;
    const { inFolder } = this.#loaded;
    if (this.#before)
      throw new Failure("master_key_change_begun", {
        fix: "Wait until it ends: `countersign keys status`.",
      });
    if (!inFolder && !key) throw new Failure("master_key_new_missing");
    const next = Buffer.from(key ?? randomBytes(32));
    const { masterKeyId: nextId } = new Keyring(next);
    const beforeId = this.keyring.masterKeyId;
    if (nextId === beforeId) throw new Failure("master_key_same");
    if (inFolder) stageKeyFile(dataFolder, next);
    // All processes that open records get the new key before any record is sealed with it.
    for (const tell of this.#holders) await tell(next);
    const before = this.#loaded.key;
    const begunOn = clock();
    await store
      .write(async ({ db }) => {
        this.keyring.adopt(next);
        await beginMasterKeyChange(db, this.keyring, before, begunOn);
        return {
          value: null,
          audit: {
            by: ownerOfData,
            action: "key.change",
            accountId: null,
            resource: { type: "master-key", id: nextId },
            before: { masterKeyId: beforeId },
            after: { masterKeyId: nextId },
          },
        };
      })
      .catch((error: unknown) => {
        this.keyring.adopt(before);
        throw error;
      });
    if (inFolder) finishChange(dataFolder, nextId);
    this.#loaded = { ...this.#loaded, key: next };
    log.info({ before: beforeId, masterKeyId: nextId }, "the master key changes: re-wrapping");
    this.#continue(before, begunOn.toISOString());
    this.#run();
    return this.status();
  }

  /** Ends a change although some records cannot be unsealed; they never will be. */
  async abandonDamaged(): Promise<KeysStatus> {
    await this.#running;
    if (this.#before) await this.#end(true);
    return this.status();
  }

  status(): KeysStatus {
    return {
      masterKeyId: this.keyring.masterKeyId,
      from: this.#loaded.from,
      fromFolder: this.#loaded.inFolder,
      change: this.#status,
    };
  }

  /** Resolves when nothing is being re-wrapped. */
  async settled(): Promise<void> {
    await this.#running;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopped = true;
    await this.#running;
  }

  async #bindSecrets(): Promise<void> {
    const { store, log } = this.#options;
    try {
      const bound = await bindSecrets(store, this.keyring);
      if (bound === null || bound.sealed + bound.damaged.length === 0) return;
      log.info(bound, "each secret is now sealed for its own version and name");
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      log.error(
        { code: error.code },
        `secrets of older versions are not sealed again, and do not open: ${error.message}`,
      );
    }
  }

  #continue(before: Buffer, begunOn: string): void {
    this.keyring.admit(before);
    this.#before = before;
    const { masterKeyId } = new Keyring(before);
    this.#status = { before: masterKeyId, begunOn, rewrapped: 0, damaged: [] };
  }

  #run(): void {
    this.#running = this.#rewrapAll().catch((error: unknown) => {
      this.#options.log.error({ err: error }, "re-wrapping stopped: it goes on at the next start");
    });
  }

  async #rewrapAll(): Promise<void> {
    const { store, batch = 50 } = this.#options;
    for (const column of sealedColumns) {
      let after: string | null = "";
      while (after !== null && !this.#stopped) {
        const from: string = after;
        after = await store.housekeep(async ({ db }) => {
          const { records, next } = await column.batch(db, from, batch);
          for (const record of records) await this.#rewrap(db, record);
          return next;
        });
      }
    }
    if (!this.#stopped) await this.#end(false);
  }

  async #rewrap(db: Database, record: SealedRecord): Promise<void> {
    const { keyring } = this;
    if (masterKeyIdOf(record.sealed) === keyring.masterKeyId) return;
    const sealed = this.#open(record);
    if (sealed === null) return;
    await record.replace(db, sealed);
    const status = this.#status;
    if (status) this.#status = { ...status, rewrapped: status.rewrapped + 1 };
  }

  #open({ place, sealed }: SealedRecord): Sealed | null {
    try {
      return this.keyring.rewrap(place, sealed);
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      this.#options.log.error({ code: error.code, place }, error.message);
      const status = this.#status;
      if (status) this.#status = { ...status, damaged: [...status.damaged, error.message] };
      return null;
    }
  }

  /** Called once no record needs the old key. Records written meanwhile are sealed with the new key. */
  async #end(abandon: boolean): Promise<void> {
    const { store, log } = this.#options;
    const status = this.#status;
    if (!status || (status.damaged.length > 0 && !abandon)) return;
    await store.housekeep(({ db }) => endMasterKeyChange(db));
    this.#before = null;
    this.#status = null;
    log.info(
      { masterKeyId: this.keyring.masterKeyId, rewrapped: status.rewrapped },
      "the master key has changed: the one before opens nothing any more",
    );
  }
}

function changeBegun(keyring: Keyring, wanted: string | null, { from }: LoadedMasterKey): Failure {
  return new Failure("master_key_change_begun", {
    message: `a change to master key ${wanted} has begun, and ${from} holds ${keyring.masterKeyId}`,
    facts: { wanted, given: keyring.masterKeyId },
  });
}

function wrong(keyring: Keyring, wanted: string, { from }: LoadedMasterKey): Failure {
  return new Failure("master_key_wrong", {
    message: `the data is sealed with master key ${wanted}, and ${from} holds ${keyring.masterKeyId}`,
    facts: { wanted, given: keyring.masterKeyId },
  });
}
