import { lstat, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { setImmediate as nextTurn, setTimeout as wait } from "node:timers/promises";
import { namesIn } from "./unfinished-files.ts";

export interface UnnamedOptions {
  /** The folder of an account's data. */
  readonly data: string;
  /** ms since 1970: what was written to later is left alone, as an upload may be under way. */
  readonly before: number;
  /** Aborts it. */
  readonly signal: AbortSignal;
  /** ms after which a file is looked at once more before it is removed. Default: 10,000. */
  readonly pause?: number;
}

/**
 * Removes the files of R2 that no object has: a process that was killed between an object's file and its row has left
 * them for good. It reads beside a process that runs, and holds it up by nothing.
 * @returns how many files were removed
 * @throws where the database of a bucket cannot be read: nothing more is removed then
 */
export async function removeUnnamed(options: UnnamedOptions): Promise<number> {
  const { data, before, signal, pause = 10_000 } = options;
  for (let removed = 0; ;) {
    const found = await unnamed(data, before, signal);
    if (found.size === 0) return removed;
    // A clock that was set back lets a file of just now look old.
    await wait(pause, undefined, { signal, ref: false });
    const names = JSON.stringify([...found.keys()]);
    for (const database of await databasesIn(data)) {
      using bucket = open(database);
      for (const table of tablesIn(bucket)) {
        const sql = `SELECT blob_id AS file FROM ${table} WHERE blob_id IN (SELECT value FROM json_each(?))`;
        for (const { file } of bucket.prepare(sql).iterate(names)) found.delete(String(file));
      }
      await nextTurn();
    }
    for (const path of found.values()) await rm(path, { force: true });
    removed += found.size;
    if (found.size < MOST_AT_ONCE) return removed;
  }
}

/** Their paths, by their names. */
async function unnamed(
  data: string,
  before: number,
  signal: AbortSignal,
): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  const databases = await databasesIn(data);
  // Without any, it is the databases that are missing.
  if (databases.length === 0) return found;
  const named = await keysIn(databases, signal);
  for (const bucket of await readdir(join(data, "r2"))) {
    const folder = join(data, "r2", bucket, "blobs");
    for await (const name of namesIn(folder)) {
      if (!NAME.test(name) || includes(named, keyOf(name))) continue;
      const path = join(folder, name);
      const file = await lstat(path).catch(() => null);
      if (file?.isFile() === true && file.mtimeMs < before) found.set(name, path);
      if (found.size === MOST_AT_ONCE) return found;
      signal.throwIfAborted();
    }
  }
  return found;
}

/** Of all files that a row names, in ascending order: there may be millions. */
async function keysIn(databases: readonly string[], signal: AbortSignal): Promise<BigUint64Array> {
  const keys: bigint[] = [];
  for (const database of databases) {
    using bucket = open(database);
    for (const table of tablesIn(bucket)) {
      const some = bucket.prepare(
        `SELECT rowid, blob_id AS file FROM ${table} WHERE rowid > ? ORDER BY rowid LIMIT ${ROWS}`,
      );
      for (let last: unknown = 0, rows; (rows = some.all(Number(last))).length > 0;) {
        for (const { file } of rows) if (NAME.test(String(file))) keys.push(keyOf(String(file)));
        last = rows.at(-1)!["rowid"];
        await nextTurn();
        signal.throwIfAborted();
      }
    }
  }
  return BigUint64Array.from(keys).toSorted();
}

function includes(keys: BigUint64Array, key: bigint): boolean {
  let [from, to] = [0, keys.length];
  while (from < to) {
    const middle = (from + to) >> 1;
    if (keys[middle]! < key) from = middle + 1;
    else to = middle;
  }
  return keys[from] === key;
}

/** Of random digits. Two files with one key: the second stays. */
function keyOf(name: string): bigint {
  return BigInt(`0x${name.slice(0, 16)}`);
}

/** One for each bucket that was used. */
async function databasesIn(data: string): Promise<readonly string[]> {
  const found: string[] = [];
  const folder = join(data, "r2", "r2");
  for await (const name of namesIn(folder)) {
    if (/^[0-9a-f]{64}\.sqlite$/.test(name)) found.push(join(folder, name));
  }
  return found;
}

function open(database: string): DatabaseSync & Disposable {
  return new DatabaseSync(database, { readOnly: true, timeout: 1_000 });
}

/** A bucket that was deleted has none. */
function tablesIn(bucket: DatabaseSync): readonly string[] {
  const sql = "SELECT name FROM sqlite_schema WHERE name IN ('_mf_objects', '_mf_multipart_parts')";
  return bucket
    .prepare(sql)
    .all()
    .map(({ name }) => String(name));
}

/** As an object's file is named: random digits, then the time. */
const NAME = /^[0-9a-f]{80}$/;
const MOST_AT_ONCE = 10_000;
/** That are read in one turn: some ms. */
const ROWS = 2_000;
