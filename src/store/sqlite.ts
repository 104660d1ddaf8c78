import { SqliteAdapter, SqliteDialect, type SqliteDatabase } from "kysely";
import { closeSync, openSync } from "node:fs";
import { DatabaseSync, type SQLInputValue, type StatementSync } from "node:sqlite";
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
  return new Dialect({ database: telling(path, () => open(path, options)) });
}

class Dialect extends SqliteDialect {
  override createAdapter(): SqliteAdapter {
    return new Adapter();
  }
}

/**
 * All new migrations are one transaction: a start that is cut off leaves the database as it was, and
 * the first one waits for the disk once, not for each table. Kysely does not do so by itself, because
 * a migration could not switch foreign keys off; none of ours does.
 */
class Adapter extends SqliteAdapter {
  override get supportsTransactionalDdl(): boolean {
    return true;
  }
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
  const statements = new Statements(database);
  return {
    close: () => {
      checkpoints.stop();
      database.close();
    },
    prepare: (sql) => {
      // If the disk is full, SQLite has rolled back already. Another rollback would fail, and hide
      // the reason.
      if (sql === "rollback" && !database.isTransaction) sql = "select 1 where 0";
      return telling(path, () => {
        // A deferred transaction that reads first cannot wait for another process that writes.
        const text = sql === "begin" ? "begin immediate" : sql;
        const { statement, reader } = statements.of(text);
        return {
          reader,
          all: (parameters) => telling(path, () => statement.all(...values(parameters))),
          run: (parameters) => {
            const done = telling(path, () => statement.run(...values(parameters)));
            if (sql === "commit") checkpoints.due();
            return done;
          },
          // It goes on while others work: a statement of its own.
          iterate: (parameters) => database.prepare(text).iterate(...values(parameters)),
        };
      });
    },
  };
}

interface Prepared {
  readonly statement: StatementSync;
  /** It answers with rows. */
  readonly reader: boolean;
}

/** Statements that are prepared once. A list of values makes a statement for each length: the oldest go. */
class Statements {
  readonly #database: DatabaseSync;
  readonly #kept: Map<string, Prepared> = new Map();

  constructor(database: DatabaseSync) {
    this.#database = database;
  }

  of(sql: string): Prepared {
    const kept = this.#kept.get(sql);
    if (kept !== undefined) return kept;
    const statement = this.#database.prepare(sql);
    const prepared = { statement, reader: statement.columns().length > 0 };
    // A change of tables changes the results of prepared statements.
    if (!/^(?:select|insert|update|delete|begin|commit|rollback|savepoint|release)\b/i.test(sql))
      this.#kept.clear();
    else if (sql.length <= LONGEST_KEPT) {
      if (this.#kept.size >= MOST_KEPT) this.#kept.delete(this.#kept.keys().next().value!);
      this.#kept.set(sql, prepared);
    }
    return prepared;
  }
}

const MOST_KEPT = 500;
/** Characters. */
const LONGEST_KEPT = 10_000;

/**
 * By default, SQLite copies commits from `-wal` into the database only after 4 MB. If that file
 * were lost or not copied, much would be lost. So commits are copied soon after they are made.
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
      // Does not wait for readers: pages that a reader still needs are copied the next time.
      this.#database.exec("PRAGMA wal_checkpoint(PASSIVE)");
    } catch {
      // The commit is safe in `-wal`. The next write reports why it could not be copied.
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
