import { createHash } from "node:crypto";
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
  PostgreSQL: async () =>
    sealed(await openStoreOn(new PGliteDialect({ pglite: () => PGlite.create() }))),
};

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
