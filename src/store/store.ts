import type { Database, Changed } from "./database.ts";
import { EventEmitter } from "node:events";
import { CamelCasePlugin, Kysely, sql, type Dialect, type Transaction } from "kysely";
import { Migrator } from "kysely/migration";
import { Failure } from "../failures/failures.ts";
import type { Keyring } from "../keys/seal.ts";
import { appendAudit, type Audit } from "./access/audit.ts";
import { recorded } from "./access/recorded.ts";
import { recordChange } from "./changes.ts";
import { migrationNames, migrations } from "./migrations.ts";
import { JsonColumns } from "./json-columns.ts";
import { readOnly } from "./read-only.ts";
import type { Tables } from "./schema.ts";
import { sqliteDialect } from "./sqlite.ts";
import { Together } from "./together.ts";

export interface Write {
  readonly db: Database;
  /** Adds a change to the feed, in this transaction, so that followers see both or neither. */
  readonly changed: (change: Changed) => Promise<void>;
}

/** What a transaction did. It is committed with its line in the audit log, or not at all. */
export interface Done<T> {
  readonly value: T;
  /** Null only where nothing was changed, or nothing that anybody did. */
  readonly audit: Audit | null;
}

export interface WriteOptions {
  /**
   * It may be committed in one transaction with others that say so, which then wait for the disk once. Not for work
   * that changes anything outside the database: others may run before its caller knows whether it failed.
   * Default: false.
   */
  readonly together?: boolean;
}

interface Written<T> {
  readonly value: T;
  /** The cursor of its last change; 0 if there was none. */
  readonly cursor: number;
}

/** Everything that Countersign stores. All queries are in this folder. */
export interface Store extends AsyncDisposable {
  /** For reading: it refuses every change. */
  readonly db: Database;
  /**
   * Runs `work` in one transaction, on the disk when this resolves. Keep it short, and wait in it
   * for nothing but queries.
   * @throws whatever `work` throws, or what keeps it from being written down; nothing is changed then
   */
  write<T>(work: (write: Write) => Promise<Done<T>>, options?: WriteOptions): Promise<Written<T>>;
  /**
   * For automatic changes: notices that were sent, rows that expired. They are not in the audit
   * log.
   */
  housekeep<T>(work: (write: Write) => Promise<T>): Promise<T>;
  /** What seals the end of the audit log: without it, nothing can be written down. */
  sealWith(keyring: Keyring): void;
  /** Resolves once something was committed after this call, or `signal` aborts. Never throws. */
  committed(signal: AbortSignal): Promise<void>;
}

/**
 * Opens the store in a file and brings its tables up to date.
 *
 * @param path of the SQLite file, made if there is none
 * @throws Failure `database_damaged`, `database_newer`, `disk_full`, and what else `storageFailure` tells
 */
export async function openStore(path: string): Promise<Store> {
  return openStoreOn(sqliteDialect(path));
}

export async function openStoreOn(dialect: Dialect): Promise<Store> {
  const db: Database = new Kysely<Tables>({
    dialect,
    plugins: [new CamelCasePlugin(), new JsonColumns()],
  });
  try {
    await migrate(db);
  } catch (error) {
    await db.destroy();
    throw error;
  }
  let keyring: Keyring | null = null;
  const commits = new EventEmitter().setMaxListeners(0);
  const together = new Together(db);
  const write = async <T>(
    work: (write: Write) => Promise<Done<T>>,
    options: WriteOptions = {},
  ): Promise<Written<T>> => {
    const run = async (transaction: Transaction<Tables>): Promise<Written<T>> => {
      let cursor = 0;
      const { db: recording, recorder } = recorded(transaction, dialect);
      const done = await work({
        db: recording,
        changed: async (change) => {
          cursor = await recordChange(transaction, change);
        },
      });
      if (done.audit) await appendAudit(transaction, keyring, done.audit, recorder.rows);
      return { value: done.value, cursor };
    };
    const written = await (options.together === true
      ? together.write(run)
      : db.transaction().execute(run));
    if (written.cursor > 0) commits.emit("commit");
    return written;
  };
  return {
    db: db.withPlugin(readOnly),
    sealWith: (given) => {
      keyring = given;
    },
    write,
    housekeep: async (work) => {
      const done = async (w: Write) => ({ value: await work(w), audit: null });
      return (await write(done)).value;
    },
    committed: (signal) => nextCommit(commits, signal),
    [Symbol.asyncDispose]: () => db.destroy(),
  };
}

async function migrate(db: Database): Promise<void> {
  const unknown = (await migrationsDone(db)).filter((name) => !migrationNames.includes(name));
  if (unknown.length > 0) {
    throw new Failure("database_newer", {
      message: `the database has changes that this version does not know: ${unknown.join(", ")}`,
    });
  }
  // Names do not tell the order in which migrations came: a database may lack one that stands between
  // those that it has.
  const migrator = new Migrator({ db, provider: migrations, allowUnorderedMigrations: true });
  const { error } = await migrator.migrateToLatest();
  if (error) throw error;
}

async function migrationsDone(db: Database): Promise<readonly string[]> {
  try {
    const { rows } = await sql<{ name: string }>`select name from kysely_migration`.execute(db);
    return rows.map(({ name }) => name);
  } catch (error) {
    if (error instanceof Failure) throw error;
    // There is no such table: the database is new.
    return [];
  }
}

function nextCommit(commits: EventEmitter, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      commits.off("commit", done);
      signal.removeEventListener("abort", done);
      resolve();
    };
    commits.on("commit", done);
    signal.addEventListener("abort", done);
    if (signal.aborted) done();
  });
}
