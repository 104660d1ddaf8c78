import type { Logger } from "pino";
import type { Keyring } from "../keys/seal.ts";
import { noteClock, notedClock, pruneAudit } from "../store/access/audit-prune.ts";
import type { Store } from "../store/store.ts";

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
/** ms that a clock may gain or lose within an hour. */
const TOLERANCE = 300_000;

export interface RetentionOptions {
  readonly store: Store;
  readonly keyring: Keyring;
  readonly clock: () => Date;
  /** Entries older than this many days are removed, once a day. 0: all are kept. */
  readonly days: number;
  readonly log: Logger;
}

/**
 * Removes old entries of the audit log at the start and each day. A log whose chain is broken is not changed.
 *
 * What is removed by a clock that is ahead is lost when the clock is right again. So the clock counts only once it has
 * gone as fast as a timer for an hour. At the start the last time that counted does, or that of the newest entry.
 */
export async function retainAudit(options: RetentionOptions): Promise<Disposable> {
  const { store, keyring, clock, days, log } = options;
  if (days === 0) return { [Symbol.dispose]: () => {} };
  const prune = async (now: number): Promise<void> => {
    const before = new Date(now - days * DAY);
    const removed = await pruneAudit(store, keyring, before, new Date(now));
    if (removed > 0) log.info({ removed, days }, "old entries of the audit log were removed");
  };
  const failed = (error: unknown): void => {
    log.error({ error }, "the audit log keeps its old entries: see `countersign audit verify`");
  };
  let last = clock().getTime();
  const begin = async (): Promise<void> => {
    const now = Math.min(last, await notedClock(store.db, keyring));
    await noteClock(store, keyring, now);
    await prune(now);
  };
  await begin().catch(failed);
  let steady = 0;
  const look = async (): Promise<void> => {
    const now = clock().getTime();
    const gone = now - last;
    last = now;
    if (Math.abs(gone - HOUR) > TOLERANCE) steady = 0;
    else if (steady++ % 24 === 0) {
      await noteClock(store, keyring, now);
      await prune(now);
    }
  };
  const timer = setInterval(() => void look().catch(failed), HOUR).unref();
  return { [Symbol.dispose]: () => clearInterval(timer) };
}
