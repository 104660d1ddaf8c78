import { SqliteDialect, type SqliteDatabase } from "kysely";
import { closeSync, openSync } from "node:fs";
import { DatabaseSync, type SQLInputValue } from "node:sqlite";

/**
 * Kysely's dialect over Node's own SQLite. Every commit is on the disk before it is acknowledged
 * (WAL with `synchronous=FULL`), so that what the API answered survives `kill -9` and a power cut.
 *
 * @param path of the database file, made readable by its owner only if there is none; `:memory:`
 * for a database that ends with the process
 * @throws Error if the file cannot be opened or is not a database
 */
export function sqliteDialect(path: string): SqliteDialect {
  return new SqliteDialect({ database: open(path) });
}

function open(path: string): SqliteDatabase {
  // SQLite would make it readable by everyone; the files beside it take its mode.
  if (path !== ":memory:") closeSync(openSync(path, "a", 0o600));
  const database = new DatabaseSync(path, { enableForeignKeyConstraints: true });
  database.exec("PRAGMA journal_mode = WAL");
  database.exec("PRAGMA synchronous = FULL");
  database.exec("PRAGMA busy_timeout = 5000");
  return {
    close: () => database.close(),
    prepare: (sql) => {
      // A deferred transaction that reads first cannot wait for another process that writes.
      const statement = database.prepare(sql === "begin" ? "begin immediate" : sql);
      return {
        reader: statement.columns().length > 0,
        all: (parameters) => statement.all(...(parameters as SQLInputValue[])),
        run: (parameters) => statement.run(...(parameters as SQLInputValue[])),
        iterate: (parameters) => statement.iterate(...(parameters as SQLInputValue[])),
      };
    },
  };
}
