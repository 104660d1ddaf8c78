import type { Logger } from "pino";
import type { Keyring } from "../keys/seal.ts";
import { pruneAudit } from "../store/access/audit-prune.ts";
import type { Store } from "../store/store.ts";

const DAY = 86_400_000;

export interface RetentionOptions {
  readonly store: Store;
  readonly keyring: Keyring;
  readonly clock: () => Date;
  /** Entries older than this many days are removed, once a day. 0: all are kept. */
  readonly days: number;
  readonly log: Logger;
}

/** Removes old entries of the audit log at the start and each day. A log whose chain is broken is not changed. */
export async function retainAudit(options: RetentionOptions): Promise<Disposable> {
  const { store, keyring, clock, days, log } = options;
  const prune = async (): Promise<void> => {
    try {
      const before = new Date(clock().getTime() - days * DAY);
      const removed = await pruneAudit(store, keyring, before);
      if (removed > 0) log.info({ removed, days }, "old entries of the audit log were removed");
    } catch (error) {
      log.error({ error }, "the audit log keeps its old entries: see `countersign audit verify`");
    }
  };
  if (days === 0) return { [Symbol.dispose]: () => {} };
  await prune();
  const timer = setInterval(() => void prune(), DAY).unref();
  return { [Symbol.dispose]: () => clearInterval(timer) };
}
