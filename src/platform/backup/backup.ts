import {
  chmodSync,
  copyFileSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  closeSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { Keyring, masterKeyIdOf, type Sealed } from "../../keys/seal.ts";
import { Failure } from "../../failures/failures.ts";
import { storageFailure } from "../../failures/of-storage.ts";
import { migrationNames } from "../../store/migrations.ts";
import { addStorage, copyDatabase, takeStorage } from "./storage.ts";
import {
  type DataFolder,
  HALF_RESTORED,
  openDataFolder,
  refuseHalfRestored,
} from "../data-folder.ts";
import { loadMasterKey, type MasterKeyVariables } from "../../keys/master-key.ts";

/** What a backup contains; never a key in clear. */
export interface BackupFacts {
  readonly file: string;
  readonly bytes: number;
  /** The id of the master key that opens the backup. The key itself is not in the file. */
  readonly masterKeyId: string;
  readonly accounts: number;
  readonly certificates: number;
  readonly scripts: number;
}

/**
 * Writes a whole data folder into one file (0600), as it is at one moment, whether or not a platform runs on it. Keys
 * and secrets stay sealed.
 * @throws Failure `data_folder_empty`, `file_exists` unless `force`, `data_folder_unusable`, `restore_unfinished`
 */
export function backUp(options: {
  readonly dataFolder: string;
  readonly file: string;
  readonly force: boolean;
}): BackupFacts {
  const { dataFolder, file, force } = options;
  const database = join(dataFolder, "countersign.db");
  refuseHalfRestored(dataFolder);
  if (!existsSync(database)) {
    throw new Failure("data_folder_empty", {
      message: `there is no database in the data folder "${dataFolder}"`,
    });
  }
  if (existsSync(file) && !force) {
    throw new Failure("file_exists", { message: `the file "${file}" exists` });
  }
  const draft = `${file}.part`;
  const mask = process.umask(0o077);
  try {
    removeDraft(draft);
    // Beside the backup: the disk of the data folder may be full, or read-only.
    const scratch = `${draft}-copies`;
    mkdirSync(scratch);
    copyDatabase(database, draft, scratch);
    {
      using written = openDatabase(draft);
      written.exec(`${FLUSHED_LATER}; PRAGMA journal_mode = OFF`);
      addStorage(written, join(dataFolder, "storage"), scratch);
    }
    rmSync(scratch, { recursive: true, force: true });
    const facts = inspect(draft);
    flush(draft);
    renameSync(draft, file);
    flush(dirname(file));
    return { ...facts, file };
  } catch (cause) {
    removeDraft(draft);
    if (cause instanceof Failure) throw cause;
    throw new Failure("data_folder_unusable", {
      message: `the backup "${file}" cannot be written: ${(cause as Error).message}`,
      fix: "Choose another place, or make room.",
      cause,
    });
  } finally {
    process.umask(mask);
  }
}

/** A draft is flushed once, when it is whole. It would be flushed for each of Workers' databases. */
const FLUSHED_LATER = "PRAGMA synchronous = OFF";

/** A backup that was killed leaves its draft behind, SQLite's journal of it, and copies. */
function removeDraft(draft: string): void {
  for (const path of [draft, `${draft}-journal`, `${draft}-copies`]) {
    rmSync(path, { recursive: true, force: true });
  }
}

export interface Restored extends BackupFacts {
  /** Where the previous database is kept. Null: there was none. */
  readonly kept: string | null;
  /** Whether the master key is in place. If not, it has to be put there before `start`. */
  readonly masterKeyPresent: boolean;
}

/** What is no platform: the master key, and what a restore that was killed has left. */
const LEFT = /^(master\.key|lock|lock-journal|pid|\S+\.part|\S+\.part-journal)$/;

/**
 * Restores a backup into a data folder on which no platform runs.
 * @throws Failure `backup_unusable`, `data_folder_not_empty` unless `force`, `data_folder_in_use`, `master_key_wrong`
 * if another master key is in place, `disk_full` and others of storage. Nothing was changed then
 */
export async function restore(options: {
  readonly dataFolder: string;
  readonly file: string;
  readonly force: boolean;
  readonly variables: MasterKeyVariables;
  readonly now: Date;
}): Promise<Restored> {
  const { dataFolder, file, force, now } = options;
  const facts = inspect(file);
  const present = existsSync(dataFolder)
    ? readdirSync(dataFolder).filter((name) => !LEFT.test(name))
    : [];
  if (present.length > 0 && !force) {
    throw new Failure("data_folder_not_empty", {
      message: `the data folder "${dataFolder}" is not empty: ${present.slice(0, 5).join(", ")}`,
      facts: { dataFolder },
    });
  }
  using folder = openDataFolder(dataFolder);
  const masterKeyPresent = await checkKey(folder.path, facts, options.variables);
  const draft = `${folder.database}.part`;
  const storage = `${folder.storage}.part`;
  try {
    removeDraft(draft);
    copyFileSync(file, draft);
    chmodSync(draft, 0o600);
    rmSync(storage, { recursive: true, force: true });
    {
      using written = openDatabase(draft);
      takeStorage(written, storage);
      advanceCursors(written, now);
    }
    flush(draft);
  } catch (error) {
    removeDraft(draft);
    rmSync(storage, { recursive: true, force: true });
    throw storageFailure(error, `the data folder "${folder.path}"`) ?? error;
  }
  const kept = exchange(folder, { draft, storage, now });
  return { ...facts, kept, masterKeyPresent };
}

/**
 * Origins keep the newest revocation feed that they have accepted, and refuse an older one, so a copy that somebody
 * kept cannot undo a revocation. Therefore feeds after a restore must be newer than all feeds before it, including
 * those of changes that the backup does not contain. The shift assumes fewer than 1,000 changes per second.
 */
function advanceCursors(database: DatabaseSync, now: Date): void {
  const counter = database.prepare("SELECT value FROM counters WHERE name = 'changes'").get();
  const value = Number(counter?.["value"] ?? 0);
  const shift = Math.max(now.getTime() - value, 0);
  // Negative values first, so that cursors stay unique at every step.
  database.prepare("UPDATE changes SET cursor = -(cursor + ?)").run(shift);
  database.exec("UPDATE changes SET cursor = -cursor");
  database.prepare("UPDATE counters SET value = value + ? WHERE name = 'changes'").run(shift);
}

/**
 * The facts of a backup, after checking that it is whole.
 * @throws Failure `backup_unusable`
 */
export function inspect(file: string): BackupFacts {
  const refuse = (why: string, cause?: unknown): Failure =>
    new Failure("backup_unusable", { message: `"${file}" ${why}`, cause });
  if (!existsSync(file)) {
    throw new Failure("file_missing", { message: `the backup "${file}" does not exist` });
  }
  try {
    using database = openDatabase(file, { readOnly: true });
    const [check] = database.prepare("PRAGMA quick_check").all();
    if (check?.["quick_check"] !== "ok") throw refuse("is damaged");
    const unknown = database
      .prepare("SELECT name FROM kysely_migration")
      .all()
      .filter(({ name }) => !migrationNames.includes(String(name)));
    if (unknown.length > 0) throw refuse("was made by a newer Countersign");
    const sealed = database.prepare("SELECT sealed FROM master_key_checks").get()?.["sealed"];
    const count = (table: string): number =>
      Number(database.prepare(`SELECT count(*) AS count FROM ${table}`).get()?.["count"]);
    return {
      file,
      bytes: statSync(file).size,
      masterKeyId: masterKeyIdOf(String(sealed) as Sealed),
      accounts: count("accounts"),
      certificates: count("certificates"),
      scripts: count("scripts"),
    };
  } catch (cause) {
    if (cause instanceof Failure) throw cause;
    throw refuse(`is not a backup: ${(cause as Error).message}`, cause);
  }
}

/** @returns whether there is a key. @throws Failure `master_key_wrong`, and as `loadMasterKey` */
async function checkKey(
  dataFolder: string,
  { masterKeyId, file }: BackupFacts,
  variables: MasterKeyVariables,
): Promise<boolean> {
  try {
    const { key, from } = await loadMasterKey({ dataFolder, variables, wanted: masterKeyId });
    const given = new Keyring(key).masterKeyId;
    if (given === masterKeyId) return true;
    throw new Failure("master_key_wrong", {
      message: `"${file}" is sealed with master key ${masterKeyId}, and ${from} holds ${given}`,
      facts: { wanted: masterKeyId, given },
    });
  } catch (error) {
    if (error instanceof Failure && error.code === "master_key_missing") return false;
    throw error;
  }
}

/** Puts what was restored in the place of what is there, which is kept beside. @returns the database that is kept */
function exchange(
  { path, database, storage }: DataFolder,
  restored: { readonly draft: string; readonly storage: string; readonly now: Date },
): string | null {
  const time = restored.now.toISOString().replaceAll(/[:.]/g, "-");
  const aside = database.replace(/\.db$/, `.${time}.db`);
  const kept = existsSync(database) ? aside : null;
  const unfinished = join(path, HALF_RESTORED);
  writeFileSync(unfinished, "", { mode: 0o600, flush: true });
  flush(path);
  if (existsSync(storage)) renameSync(storage, `${storage}.${time}`);
  if (existsSync(restored.storage)) renameSync(restored.storage, storage);
  // With its log, which would be taken for the restored one's. SQLite is not asked: it may remove a damaged one's log.
  for (const beside of ["-wal", "-shm", ""]) {
    if (existsSync(`${database}${beside}`)) {
      renameSync(`${database}${beside}`, `${aside}${beside}`);
    }
  }
  renameSync(restored.draft, database);
  flush(path);
  rmSync(unfinished);
  flush(path);
  return kept;
}

function openDatabase(
  path: string,
  options: { readOnly?: boolean } = {},
): DatabaseSync & Disposable {
  return new DatabaseSync(path, { timeout: 5000, ...options });
}

/** Flushes a file, or a folder's entries, to the disk. */
function flush(path: string): void {
  const descriptor = openSync(path, "r");
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}
