import { createHash } from "node:crypto";
import { PGlite } from "@electric-sql/pglite";
import { CamelCasePlugin, PGliteDialect, sql } from "kysely";
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
  if (known !== undefined && changes !== null && known.changes === changes) return known.hash;
  const hash = await hashOf(db);
  hashes.set(db, { changes, hash });
  return hash;
}

const hashes: WeakMap<Database, { readonly changes: number | null; readonly hash: string }> =
  new WeakMap();

/**
 * How many rows were ever inserted, changed or deleted over the one connection of a database in
 * memory, those of a transaction that was undone as well. Null: another engine, which does not say.
 */
async function totalChanges(db: Database): Promise<number | null> {
  if (engineOf.get(db) === "another") return null;
  try {
    const query = db.selectNoFrom(sql<number>`total_changes()`.as("changes"));
    return (await query.executeTakeFirstOrThrow()).changes;
  } catch {
    engineOf.set(db, "another");
    return null;
  }
}

const engineOf: WeakMap<Database, "another"> = new WeakMap();

async function hashOf(db: Database): Promise<string> {
  const hash = createHash("sha256");
  let names = tables.get(db);
  if (names === undefined) {
    names = (await db.introspection.getTables()).map(({ name }) => name);
    tables.set(db, names);
  }
  for (const name of names) {
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
const tables: WeakMap<Database, readonly string[]> = new WeakMap();

/** The database without the lock that makes `write()` the only way to change it. */
export function writable({ db }: { readonly db: Database }): Database {
  return db.withoutPlugins().withPlugin(new CamelCasePlugin());
}

function sealed(store: Store): Store {
  store.sealWith(testKeyring);
  return store;
}
