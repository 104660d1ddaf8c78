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

/** What these stores are sealed with. */
export const testKeyring: Keyring = new Keyring(Buffer.alloc(32, 7));

/** The engines the store has to run on: PostgreSQL is the real one, compiled to WebAssembly. */
export const engines: Readonly<Record<string, () => Promise<Store>>> = {
  SQLite: async () => sealed(await openStore(":memory:")),
  PostgreSQL: async () => sealed(await openPostgres()),
};

/**
 * `initdb` and our migrations take three seconds in WebAssembly. So the first database of a process
 * begins with files that `initdb` has left for all tests, and each further one with those of the
 * first, as they were after its migrations.
 */
async function openPostgres(): Promise<Store> {
  const begin = await (migrated ?? emptyCluster());
  const pglite = await PGlite.create({ loadDataDir: begin });
  if (migrated !== null) return openStoreOn(new PGliteDialect({ pglite }));
  const files = Promise.withResolvers<Blob>();
  migrated = files.promise;
  // Nobody may wait for it.
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

/** Null: no database of this process is open yet. */
let migrated: Promise<Blob> | null = null;

/** The files of a database with nothing in it. They depend on nothing but the version of PGlite. */
async function emptyCluster(): Promise<Blob> {
  const folder = new URL("../../node_modules/.cache/countersign/", import.meta.url);
  const packageFile = new URL("../package.json", import.meta.resolve("@electric-sql/pglite"));
  const { version } = JSON.parse(await readFile(packageFile, "utf8")) as { version: string };
  const file = new URL(`pglite-${version}.tar`, folder);
  if (!existsSync(file)) {
    await using pglite = await PGlite.create();
    const files = await pglite.dumpDataDir("none");
    await mkdir(folder, { recursive: true });
    // Another process may be at it as well: a file is there whole, or not at all.
    const own = new URL(`pglite-${version}.${process.pid}`, folder);
    await writeFile(own, files.stream());
    await rename(own, file);
  }
  // Into memory: a blob of the file itself cannot be read once another process has put its own there.
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
 * A number that grows with every change over the one connection of a database in memory, those of a
 * transaction that was undone as well.
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

/** PostgreSQL counts for its statistics only, and late. A sequence counts at once, whatever is undone. */
async function countChanges(db: Database): Promise<void> {
  const raw = writable({ db });
  await sql`create sequence changes_made`.execute(raw);
  await sql`create function count_change() returns trigger language plpgsql as
    'begin perform nextval(''changes_made''); return null; end'`.execute(raw);
  for (const name of await tablesOf(db)) {
    await sql`create trigger count_change after insert or update or delete or truncate
      on ${sql.table(name)} execute function count_change()`.execute(raw);
  }
  // The first value of a sequence is the one that it has before it is asked.
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

/** The names of a database's tables, which no test changes once it is open. */
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
