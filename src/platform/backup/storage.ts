import {
  accessSync,
  appendFileSync,
  chmodSync,
  closeSync,
  constants,
  copyFileSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join, relative, sep } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { addValues } from "./values.ts";

/**
 * Adds Workers' data to a backup, which is a database. Values in separate files never change, but are added and
 * deleted, also while the databases are read.
 *
 * @param folder of the storage; nothing happens if it does not exist
 * @param scratch a folder for copies
 */
export function addStorage(backup: DatabaseSync, folder: string, scratch: string): void {
  if (!existsSync(folder)) return;
  backup.exec(
    `CREATE TABLE ${TABLE} (path TEXT, part INTEGER, content BLOB NOT NULL, PRIMARY KEY (path, part))`,
  );
  removeEarlier(dirname(folder));
  const taken = new Set<string>();
  const files = {
    has: (name: string) => taken.has(name),
    add: (path: string) => {
      if (!insert(backup, path, join(folder, path))) return false;
      taken.add(basename(path));
      return true;
    },
    namesIn: (within: string) => readdirSync(join(folder, within)),
  };
  for (const path of filesIn(folder)) {
    if (!isDatabase(path) && !BESIDE.test(path)) files.add(path);
  }
  for (const path of filesIn(folder).filter(isDatabase)) {
    const live = join(folder, path);
    const copy = snapshotOf(live, scratch);
    if (copy === null) continue;
    addValues({ path, live, copy }, files);
    insert(backup, path, copy);
  }
}

/**
 * Copies a database as it is at one moment, while others write.
 * @param scratch a folder for copies
 */
export function copyDatabase(database: string, copy: string, scratch: string): void {
  try {
    vacuumInto(database, copy);
  } catch (error) {
    if (!isReadOnly(dirname(database))) throw error;
    // SQLite needs to write beside a database that has a log. Where nobody can, the files stand still.
    const still = join(scratch, "still");
    for (const suffix of ["", "-wal"]) {
      rmSync(still + suffix, { force: true });
      if (existsSync(database + suffix)) copyFileSync(database + suffix, still + suffix);
    }
    chmodSync(still, 0o600);
    vacuumInto(still, copy);
  }
}

function vacuumInto(database: string, copy: string): void {
  rmSync(copy, { force: true });
  using source = new DatabaseSync(database, { timeout: 10_000 }) as DatabaseSync & Disposable;
  // The copy need not survive anything: it is flushed once, when the backup is whole.
  source.exec("PRAGMA synchronous = OFF");
  // It reads one snapshot; later commits are in the next backup.
  source.prepare("VACUUM INTO ?").run(copy);
}

function isReadOnly(folder: string): boolean {
  try {
    accessSync(folder, constants.W_OK);
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EROFS";
  }
}

const SCRATCH = ".backup-";

/** A killed backup of an earlier version has left a copy. Another may run now, but none runs for a day on one database. */
function removeEarlier(dataFolder: string): void {
  if (isReadOnly(dataFolder)) return;
  for (const name of readdirSync(dataFolder)) {
    if (!name.startsWith(SCRATCH)) continue;
    const path = join(dataFolder, name);
    const changed = statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? Infinity;
    if (Date.now() - changed > DAY) rmSync(path, { recursive: true, force: true });
  }
}

/** ms */
const DAY = 24 * 60 * 60_000;

/** Writes Workers' data from a backup into a folder that must not exist yet. */
export function takeStorage(backup: DatabaseSync, folder: string): void {
  if (backup.prepare("SELECT 1 FROM sqlite_schema WHERE name = ?").get(TABLE) === undefined) return;
  mkdirSync(folder, { mode: 0o700 });
  const rows = backup.prepare(`SELECT path, part, content FROM ${TABLE} ORDER BY path, part`);
  for (const { path, part, content } of rows.iterate()) {
    const to = join(folder, String(path));
    // Anybody may have made the backup's file, so its paths are checked.
    if (relative(folder, to).startsWith("..")) throw new Error(`"${String(path)}" leads elsewhere`);
    mkdirSync(dirname(to), { recursive: true, mode: 0o700 });
    if (part === 0) writeFileSync(to, content as Uint8Array, { mode: 0o600, flush: true });
    else appendFileSync(to, content as Uint8Array, { flush: true });
  }
  backup.exec(`DROP TABLE ${TABLE}; VACUUM`);
}

const TABLE = "storage_files";
/** Bytes in one row. */
const PART = 32 * 1024 * 1024;
/** SQLite's files beside a database. Their content is part of the snapshot. */
const BESIDE = /\.sqlite-(wal|shm|journal)$/;

function isDatabase(path: string): boolean {
  return path.endsWith(".sqlite");
}

function filesIn(folder: string): readonly string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)).replaceAll(sep, "/"));
}

/** Null: the database was deleted just then. */
function snapshotOf(database: string, scratch: string): string | null {
  const copy = join(scratch, "copy");
  try {
    copyDatabase(database, copy, scratch);
  } catch (error) {
    if (existsSync(database)) throw error;
    return null;
  }
  chmodSync(copy, 0o600);
  return copy;
}

/** @returns false if there is no such file */
function insert(backup: DatabaseSync, path: string, file: string): boolean {
  const add = backup.prepare(`INSERT INTO ${TABLE} (path, part, content) VALUES (?, ?, ?)`);
  let descriptor: number;
  try {
    descriptor = openSync(file, "r");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return false;
    throw error;
  }
  try {
    const buffer = Buffer.alloc(PART);
    for (let part = 0; ; part++) {
      const length = readSync(descriptor, buffer, 0, PART, null);
      if (length > 0 || part === 0) add.run(path, part, buffer.subarray(0, length));
      if (length < PART) return true;
    }
  } finally {
    closeSync(descriptor);
  }
}
