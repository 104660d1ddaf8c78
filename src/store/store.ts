import { EventEmitter } from "node:events";
import { CamelCasePlugin, Kysely, type Dialect } from "kysely";
import { Migrator } from "kysely/migration";
import type { ScriptKey } from "../edge/source.ts";
import { recordChange } from "./changes.ts";
import { migrations } from "./migrations.ts";
import type { Tables } from "./schema.ts";
import { sqliteDialect } from "./sqlite.ts";

/** A database, or a transaction on it: every query takes one. */
export type Database = Kysely<Tables>;

/** What an edge has to look at again. */
export type Changed =
  | ({ readonly kind: "script" } & ScriptKey)
  | { readonly kind: "certificate"; readonly accountId: string; readonly certificateId: string }
  | { readonly kind: "trust"; readonly accountId: string };

export interface Write {
  readonly db: Database;
  /** Puts a change into the feed, in this transaction: followers see both or neither. */
  readonly changed: (change: Changed) => Promise<void>;
}

interface Written<T> {
  readonly value: T;
  /** The cursor of its last change; 0 if there was none. */
  readonly cursor: number;
}

/** Everything Countersign keeps. The queries beside this file are the only ones there are. */
export interface Store extends AsyncDisposable {
  readonly db: Database;
  /**
   * Runs `work` in one transaction, on the disk when this resolves. Keep it short, and wait in it
   * for nothing but queries.
   * @throws whatever `work` throws; nothing is changed then
   */
  write<T>(work: (write: Write) => Promise<T>): Promise<Written<T>>;
  /** Resolves once something was committed after this call, or `signal` aborts. Never throws. */
  committed(signal: AbortSignal): Promise<void>;
}

/**
 * Opens the store in a file and brings its tables up to date.
 *
 * @param path of the SQLite file, made if there is none
 * @throws Error if the file is not a database, or was made by a newer Countersign
 */
export async function openStore(path: string): Promise<Store> {
  return openStoreOn(sqliteDialect(path));
}

export async function openStoreOn(dialect: Dialect): Promise<Store> {
  const db: Database = new Kysely<Tables>({ dialect, plugins: [new CamelCasePlugin()] });
  try {
    await migrate(db);
  } catch (error) {
    await db.destroy();
    throw error;
  }
  const commits = new EventEmitter().setMaxListeners(0);
  return {
    db,
    write: async (work) => {
      let cursor = 0;
      const value = await db.transaction().execute((transaction) =>
        work({
          db: transaction,
          changed: async (change) => {
            cursor = await recordChange(transaction, change);
          },
        }),
      );
      if (cursor > 0) commits.emit("commit");
      return { value, cursor };
    },
    committed: (signal) => nextCommit(commits, signal),
    [Symbol.asyncDispose]: () => db.destroy(),
  };
}

async function migrate(db: Database): Promise<void> {
  const { error } = await new Migrator({ db, provider: migrations }).migrateToLatest();
  if (error) throw error;
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
