import { existsSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { CamelCasePlugin, Kysely } from "kysely";
import { Failure } from "../failures/failures.ts";
import { storageFailure } from "../failures/of-storage.ts";
import { parseMasterKey, readGivenKey, type MasterKeyVariables } from "../keys/master-key.ts";
import { Keyring } from "../keys/seal.ts";
import { refuseHalfRestored, refuseOtherKinds } from "../platform/data-folder.ts";
import { hasDatabase, refuseLostDatabase } from "../platform/first-start.ts";
import { checkMasterKey, findMasterKeyChange, wantedMasterKey } from "../store/master-key-check.ts";
import { JsonColumns } from "../store/json-columns.ts";
import { migrationNames } from "../store/migrations.ts";
import type { Tables } from "../store/schema.ts";
import { sealedColumns } from "../store/sealed-records.ts";
import { sqliteDialect } from "../store/sqlite.ts";
import type { Database } from "../store/database.ts";
import type { Check } from "./check.ts";

export interface CheckStorageOptions {
  readonly dataFolder: string;
  readonly masterKey: MasterKeyVariables;
  /** Where the running platform has its master key from. Null: no platform runs. */
  readonly keyInUse: string | null;
}

/** Checks the data folder without changing it: the database, the master key, and all sealed records. */
export async function checkStorage(options: CheckStorageOptions): Promise<readonly Check[]> {
  const { dataFolder } = options;
  if (!existsSync(dataFolder)) return [];
  const folder = attempt("data folder", () => {
    refuseOtherKinds(dataFolder);
    refuseHalfRestored(dataFolder);
    checkLock(dataFolder);
  });
  if (folder) return [folder];
  if (!hasDatabase(dataFolder)) {
    const lost = attempt("database", () => refuseLostDatabase(dataFolder, options.masterKey));
    return [
      lost ?? ok("database", "will be made at the first start"),
      ...(await keyAlone(options)),
    ];
  }
  const database = attempt("database", () => checkFile(join(dataFolder, "countersign.db")));
  if (database) return [database, ...(await keyAlone(options))];
  const db: Database = new Kysely<Tables>({
    dialect: sqliteDialect(join(dataFolder, "countersign.db"), { readOnly: true }),
    plugins: [new CamelCasePlugin(), new JsonColumns()],
  });
  try {
    return [ok("database", "whole"), ...(await checkKeys(db, options))];
  } finally {
    await db.destroy();
  }
}

/**
 * How many files a process may have open; each connection is one.
 * @param pid of the platform that runs. Default: what a platform would have that this user starts here
 */
export function checkFileLimit(pid: number | "self" = "self"): Check | null {
  const limits = `/proc/${pid}/limits`;
  if (!existsSync(limits)) return null;
  const [, soft = ""] = /^Max open files\s+(\S+)/m.exec(readFileSync(limits, "utf8")) ?? [];
  const name = "open files";
  if (soft === "unlimited" || Number(soft) >= 4096) return ok(name, `${soft} a process`);
  return {
    name,
    result: "warning",
    finding: `${soft} a process: each connection takes one`,
    fix: "Raise it: LimitNOFILE=65536 in the systemd unit, or ulimit -n.",
  };
}

async function keyAlone(options: CheckStorageOptions): Promise<readonly Check[]> {
  return (await keyAtHand(options)).checks;
}

interface KeyAtHand {
  readonly keyring: Keyring | null;
  readonly from: string;
  readonly checks: readonly Check[];
}

async function keyAtHand(options: CheckStorageOptions): Promise<KeyAtHand> {
  const { dataFolder, masterKey, keyInUse } = options;
  const name = "master key";
  const file = join(dataFolder, "master.key");
  try {
    const given = await readGivenKey(masterKey);
    if (given) return found(given.key, given.from, `from ${given.from}`);
    if (existsSync(file)) {
      if ((statSync(file).mode & 0o077) !== 0) {
        const finding = `${file} can be read by others`;
        return none({ name, result: "wrong", finding, fix: `chmod 600 "${file}"` });
      }
      const key = parseMasterKey(readFileSync(file, "utf8"), `the file "${file}"`);
      return found(key, `the file "${file}"`, `${file}; keep a copy of it elsewhere`);
    }
  } catch (error) {
    return none(wrong(name, error));
  }
  if (keyInUse !== null) return none(ok(name, `the platform has it from ${keyInUse}`));
  if (!hasDatabase(dataFolder)) return none(ok(name, "will be made at the first start"));
  return none({
    name,
    result: "wrong",
    finding: `${file} is missing and COUNTERSIGN_MASTER_KEY is not set`,
    fix: "Put the key back: without it no certificate or secret of this folder opens.",
  });
}

function found(key: Uint8Array, from: string, finding: string): KeyAtHand {
  return { keyring: new Keyring(key), from, checks: [ok("master key", finding)] };
}

function none(check: Check): KeyAtHand {
  return { keyring: null, from: "", checks: [check] };
}

async function checkKeys(db: Database, options: CheckStorageOptions): Promise<readonly Check[]> {
  const { keyring, from, checks } = await keyAtHand(options);
  if (keyring === null) return checks;
  const wanted = await wantedMasterKey(db);
  if (wanted === null) {
    const lost = attempt("database", () => {
      refuseLostDatabase(options.dataFolder, options.masterKey);
    });
    return lost ? [lost, ...checks] : checks;
  }
  if (wanted !== keyring.masterKeyId) {
    const failure = new Failure("master_key_wrong", {
      message: `${from} holds master key ${keyring.masterKeyId}, and the data is sealed with ${wanted}`,
    });
    return [wrong("master key", failure)];
  }
  // During a change of the master key, records are sealed with either key.
  if (await findMasterKeyChange(db)) return checks;
  try {
    await checkMasterKey(db, keyring);
    return [...checks, await checkRecords(db, keyring)];
  } catch (error) {
    return [wrong("master key", error)];
  }
}

/** Every private key and secret is unsealed, and dropped at once. */
async function checkRecords(db: Database, keyring: Keyring): Promise<Check> {
  const name = "sealed records";
  let count = 0;
  const damaged: string[] = [];
  for (const column of sealedColumns) {
    let after: string | null = "";
    while (after !== null) {
      const batch = await column.batch(db, after, 100);
      for (const { place, sealed } of batch.records) {
        count += 1;
        if (!opens(keyring, place, sealed)) damaged.push(`${place.kind} ${place.id}`);
      }
      after = batch.next;
    }
  }
  if (damaged.length === 0) return ok(name, `${count}, all of them open`);
  return {
    name,
    result: "wrong",
    finding: `${damaged.length} of ${count} do not open: ${damaged.slice(0, 5).join(", ")}`,
    fix: "Restore a backup, or upload these certificates and secrets again.",
  };
}

function opens(keyring: Keyring, ...record: Parameters<Keyring["unseal"]>): boolean {
  try {
    keyring.unseal(...record);
    return true;
  } catch {
    return false;
  }
}

function checkLock(dataFolder: string): void {
  const file = join(dataFolder, "lock");
  if (!existsSync(file)) return;
  try {
    using lock = new DatabaseSync(file, { readOnly: true, timeout: 0 });
    lock.prepare("PRAGMA schema_version").get();
  } catch (error) {
    const failure = storageFailure(error, "the lock of the data folder");
    if (failure?.code === "database_busy") return;
    if (failure?.code !== "database_damaged") throw error;
    throw new Failure("lock_damaged", { message: failure.message, cause: error });
  }
}

function checkFile(file: string): void {
  using database = new DatabaseSync(file, { readOnly: true, timeout: 5000 });
  const [check] = database.prepare("PRAGMA quick_check(1)").all();
  if (check?.["quick_check"] !== "ok") {
    throw new Failure("database_damaged", {
      message: `the database "${file}" is damaged: ${String(check?.["quick_check"])}`,
    });
  }
  const done = database.prepare("SELECT name FROM kysely_migration").all();
  const unknown = done.filter(({ name }) => !migrationNames.includes(String(name)));
  if (unknown.length > 0) throw new Failure("database_newer");
}

/** Null: `work` threw nothing. */
function attempt(name: string, work: () => void): Check | null {
  try {
    work();
    return null;
  } catch (error) {
    return wrong(name, error);
  }
}

function ok(name: string, finding: string): Check {
  return { name, result: "ok", finding };
}

function wrong(name: string, error: unknown): Check {
  const failure = error instanceof Failure ? error : storageFailure(error, `the ${name}`);
  if (failure === null) return { name, result: "wrong", finding: String(error) };
  return { name, result: "wrong", finding: failure.message, fix: failure.fix };
}
