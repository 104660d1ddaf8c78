import { CompiledQuery, type Transaction } from "kysely";
import { setImmediate } from "node:timers/promises";
import type { Database } from "./database.ts";
import type { Tables } from "./schema.ts";

interface Waiting {
  /** Does the work. @returns what tells its caller, called once everything is on the disk */
  readonly run: (transaction: Transaction<Tables>) => Promise<() => void>;
  readonly reject: (error: unknown) => void;
}

/**
 * Commits work that waits at the same time in one transaction, so that it waits for the disk once. Each has a savepoint
 * of its own: one that fails changes nothing, and the others are committed.
 */
export class Together {
  readonly #db: Database;
  /** In the order in which they came, and are done. */
  readonly #waiting: Waiting[] = [];
  #isRunning = false;

  constructor(db: Database) {
    this.#db = db;
  }

  /** @throws what `work` throws, or what keeps its transaction from being written down; nothing is changed then */
  write<T>(work: (transaction: Transaction<Tables>) => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const run = async (transaction: Transaction<Tables>): Promise<() => void> => {
        const value = await work(transaction);
        return () => resolve(value);
      };
      this.#waiting.push({ run, reject });
      if (!this.#isRunning) void this.#commitAll();
    });
  }

  async #commitAll(): Promise<void> {
    this.#isRunning = true;
    while (this.#waiting.length > 0) {
      // Whatever arrives in the same turn of the event loop is committed with it.
      await setImmediate();
      await this.#commitSome();
    }
    this.#isRunning = false;
  }

  async #commitSome(): Promise<void> {
    const begun: Waiting[] = [];
    const tell: (() => void)[] = [];
    try {
      await this.#db.transaction().execute(async (transaction) => {
        while (begun.length < MOST && this.#waiting.length > 0) {
          const next = this.#waiting.shift()!;
          begun.push(next);
          const done = await attempt(transaction, next);
          if (done !== null) tell.push(done);
        }
      });
    } catch (error) {
      // None of it is in the database. What has not begun waits for the next transaction, unless none can begin.
      for (const { reject } of begun.length > 0 ? begun : this.#waiting.splice(0)) reject(error);
      return;
    }
    for (const done of tell) done();
  }
}

/** Writes of one transaction, so that a read never waits long. */
const MOST = 16;

/** @returns null if the work failed, and was told so */
async function attempt(
  transaction: Transaction<Tables>,
  { run, reject }: Waiting,
): Promise<(() => void) | null> {
  await transaction.executeQuery(savepoint);
  try {
    const done = await run(transaction);
    await transaction.executeQuery(release);
    return done;
  } catch (error) {
    try {
      await transaction.executeQuery(rollback);
      await transaction.executeQuery(release);
    } catch {
      // Nothing is left to return to: if the disk is full, SQLite has ended the whole transaction.
      throw error;
    }
    reject(error);
    return null;
  }
}

const savepoint = CompiledQuery.raw("savepoint one");
const rollback = CompiledQuery.raw("rollback to savepoint one");
const release = CompiledQuery.raw("release savepoint one");
