import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { PGlite } from "@electric-sql/pglite";
import { CamelCasePlugin, PGliteDialect, sql } from "kysely";
import { JsonColumns } from "../../src/store/json-columns.ts";
import { Keyring } from "../../src/keys/seal.ts";
import type { Database } from "../../src/store/database.ts";
import type { Store } from "../../src/store/store.ts";
import { openStore, openStoreOn } from "../../src/store/store.ts";

/** These stores are sealed with it. */
export const testKeyring: Keyring = new Keyring(Buffer.alloc(32, 7));

/** The engines that the store has to run on. PostgreSQL is the real one, compiled to WebAssembly. */
export const engines: Readonly<Record<string, () => Promise<Store>>> = {
  SQLite: async () => sealed(await openStore(":memory:")),
  PostgreSQL: async () => sealed(await openPostgres()),
};

/**
 * `initdb` and our migrations take three seconds in WebAssembly. So the first database of a process starts from files
 * that `initdb` made once for all tests, and each further one from the first one's files after its migrations.
 */
async function openPostgres(): Promise<Store> {
  const begin = await (migrated ?? emptyCluster());
  const pglite = await PGlite.create({ loadDataDir: begin });
  if (migrated !== null) return openStoreOn(new PGliteDialect({ pglite }));
  const files = Promise.withResolvers<Blob>();
  migrated = files.promise;
  // A failure is handled by those that await it; there may be none.
  migrated.catch(() => {});
  try {
    const store = await openStoreOn(new PGliteDialect({ pglite }));
    files.resolve(await pglite.dumpDataDir("none"));
    return store;
  } catch (error) {
    files.reject(error);
    throw error;
  }
}

/** Null: this process has not opened a database yet. */
let migrated: Promise<Blob> | null = null;

/** The files of an empty database. They depend only on the version of PGlite. */
async function emptyCluster(): Promise<Blob> {
  const folder = new URL("../../node_modules/.cache/countersign/", import.meta.url);
  const packageFile = new URL("../package.json", import.meta.resolve("@electric-sql/pglite"));
  const { version } = JSON.parse(await readFile(packageFile, "utf8")) as { version: string };
  const file = new URL(`pglite-${version}.tar`, folder);
  if (!existsSync(file)) {
    await using pglite = await PGlite.create();
    const files = await pglite.dumpDataDir("none");
    await mkdir(folder, { recursive: true });
    // Another process may write it at the same time, so the file is written whole or not at all.
    const own = new URL(`pglite-${version}.${process.pid}`, folder);
    await writeFile(own, files.stream());
    await rename(own, file);
  }
  // Read into memory, because a blob of the file cannot be read once another process has replaced the file.
  return new Blob([await readFile(file)]);
}

/** A hash over every row of every table, to see that nothing changed. */
export async function databaseHash({ db }: { readonly db: Database }): Promise<string> {
  const changes = await totalChanges(db);
  const known = hashes.get(db);
  if (known !== undefined && known.changes === changes) return known.hash;
  const hash = await hashOf(db);
  hashes.set(db, { changes, hash });
  return hash;
}

const hashes: WeakMap<Database, { readonly changes: number; readonly hash: string }> =
  new WeakMap();

/**
 * A number that grows with every change over the one connection of a database in memory, including changes of a
 * transaction that was rolled back.
 */
async function totalChanges(db: Database): Promise<number> {
  if (!isCounted.has(db)) {
    try {
      const query = db.selectNoFrom(sql<number>`total_changes()`.as("changes"));
      return (await query.executeTakeFirstOrThrow()).changes;
    } catch {
      await countChanges(db);
      isCounted.add(db);
    }
  }
  const counter = db.selectFrom(sql`changes_made`.as("counter"));
  const counted = counter.select(sql<string>`last_value`.as("changes"));
  return Number((await counted.executeTakeFirstOrThrow()).changes);
}

const isCounted: WeakSet<Database> = new WeakSet();

/**
 * PostgreSQL's own counters are statistics, and late. A sequence counts at once, even in a transaction that is rolled
 * back.
 */
async function countChanges(db: Database): Promise<void> {
  const raw = writable({ db });
  await sql`create sequence changes_made`.execute(raw);
  await sql`create function count_change() returns trigger language plpgsql as
    'begin perform nextval(''changes_made''); return null; end'`.execute(raw);
  for (const name of await tablesOf(db)) {
    await sql`create trigger count_change after insert or update or delete or truncate
      on ${sql.table(name)} execute function count_change()`.execute(raw);
  }
  // The last value of a new sequence is 1 both before and after the first call, so one call is made here.
  await sql`select nextval('changes_made')`.execute(raw);
}

async function hashOf(db: Database): Promise<string> {
  const hash = createHash("sha256");
  for (const name of await tablesOf(db)) {
    const rows = await db
      .selectFrom(name as "accounts")
      .selectAll()
      .execute();
    const lines = rows.map((row) => JSON.stringify(row)).toSorted();
    hash.update(`${name}\n${lines.join("\n")}\n`);
  }
  return hash.digest("hex");
}

/** The names of a database's tables, which no test changes after opening it. */
async function tablesOf(db: Database): Promise<readonly string[]> {
  const known = tables.get(db);
  if (known !== undefined) return known;
  const names = (await db.introspection.getTables()).map(({ name }) => name);
  tables.set(db, names);
  return names;
}

const tables: WeakMap<Database, readonly string[]> = new WeakMap();

/** The database without the lock that makes `write()` the only way to change it. */
export function writable({ db }: { readonly db: Database }): Database {
  return db.withoutPlugins().withPlugin(new CamelCasePlugin()).withPlugin(new JsonColumns());
}

function sealed(store: Store): Store {
  store.sealWith(testKeyring);
  return store;
}
