import { createHash } from "node:crypto";
import { PGlite } from "@electric-sql/pglite";
import { PGliteDialect } from "kysely";
import type { Database, Store } from "../../src/store/store.ts";
import { openStore, openStoreOn } from "../../src/store/store.ts";

/** The engines the store has to run on: PostgreSQL is the real one, compiled to WebAssembly. */
export const engines: Readonly<Record<string, () => Promise<Store>>> = {
  SQLite: () => openStore(":memory:"),
  PostgreSQL: () => openStoreOn(new PGliteDialect({ pglite: () => PGlite.create() })),
};

/** A hash over every row of every table, to see that nothing changed. */
export async function databaseHash({ db }: { readonly db: Database }): Promise<string> {
  const hash = createHash("sha256");
  for (const { name } of await db.introspection.getTables()) {
    const rows = await db
      .selectFrom(name as "accounts")
      .selectAll()
      .execute();
    const lines = rows.map((row) => JSON.stringify(row)).toSorted();
    hash.update(`${name}\n${lines.join("\n")}\n`);
  }
  return hash.digest("hex");
}
