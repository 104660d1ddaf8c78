import { SqliteDialect, type SqliteDatabase } from "kysely";
import { closeSync, openSync } from "node:fs";
import { DatabaseSync, type SQLInputValue } from "node:sqlite";
import { storageFailure } from "../failures/of-storage.ts";

export interface SqliteOptions {
  /** Whether nothing is made or changed. Default: false. */
  readonly readOnly?: boolean;
  /** How long after a commit it is in the file itself, not only in `-wal` beside it, in ms. Default: 5000. */
  readonly checkpointAfter?: number;
}

/**
 * Kysely's dialect over Node's own SQLite. Every commit is on the disk before it is acknowledged
 * (WAL with `synchronous=FULL`), so that what the API answered survives `kill -9` and a power cut.
 *
 * @param path of the database file, made readable by its owner only if there is none; `:memory:`
 * for a database that ends with the process
 * @throws Failure, here and from each query, of what `storageFailure` tells; an Error otherwise
 */
export function sqliteDialect(path: string, options: SqliteOptions = {}): SqliteDialect {
  return new SqliteDialect({ database: telling(path, () => open(path, options)) });
}

function open(path: string, options: SqliteOptions): SqliteDatabase {
  const { readOnly = false, checkpointAfter = 5000 } = options;
  // SQLite would make it readable by everyone; the files beside it take its mode.
  if (path !== ":memory:" && !readOnly) closeSync(openSync(path, "a", 0o600));
  const database = new DatabaseSync(path, { enableForeignKeyConstraints: true, readOnly });
  database.exec("PRAGMA busy_timeout = 5000");
  if (!readOnly) {
    database.exec("PRAGMA journal_mode = WAL");
    database.exec("PRAGMA synchronous = FULL");
    database.exec("PRAGMA wal_checkpoint(TRUNCATE)");
  }
  const checkpoints = new Checkpoints(database, checkpointAfter);
  return {
    close: () => {
      checkpoints.stop();
      database.close();
    },
    prepare: (sql) => {
      // What fails for want of room was undone by SQLite itself: undoing it again would fail, and
      // hide the reason.
      if (sql === "rollback" && !database.isTransaction) sql = "select 1 where 0";
      return telling(path, () => {
        // A deferred transaction that reads first cannot wait for another process that writes.
        const statement = database.prepare(sql === "begin" ? "begin immediate" : sql);
        return {
          reader: statement.columns().length > 0,
          all: (parameters) => telling(path, () => statement.all(...values(parameters))),
          run: (parameters) => {
            const done = telling(path, () => statement.run(...values(parameters)));
            if (sql === "commit") checkpoints.due();
            return done;
          },
          iterate: (parameters) => statement.iterate(...values(parameters)),
        };
      });
    },
  };
}

/**
 * SQLite takes what was committed over from `-wal` after 4 MB only, so that who loses or leaves out
 * that file would lose everything. Here it is taken over soon after each commit.
 */
class Checkpoints {
  readonly #database: DatabaseSync;
  readonly #after: number;
  #timer: NodeJS.Timeout | null = null;

  constructor(database: DatabaseSync, after: number) {
    this.#database = database;
    this.#after = after;
  }

  due(): void {
    this.#timer ??= setTimeout(() => this.#take(), this.#after).unref();
  }

  stop(): void {
    if (this.#timer) clearTimeout(this.#timer);
  }

  #take(): void {
    this.#timer = null;
    try {
      // Waits for nobody: what a reader still needs is taken over the next time.
      this.#database.exec("PRAGMA wal_checkpoint(PASSIVE)");
    } catch {
      // The commit stands in `-wal`. What keeps it from the file is said by the next write.
    }
  }
}

function values(parameters: readonly unknown[]): SQLInputValue[] {
  return parameters as SQLInputValue[];
}

function telling<T>(path: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw storageFailure(error, `the database "${path}"`) ?? error;
  }
}
