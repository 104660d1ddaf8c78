import { setTimeout as delay } from "node:timers/promises";
import type { Logger } from "pino";
import { Backoff } from "../process/backoff.ts";
import type { Change, ScriptKey, Snapshot, Source } from "../contract/change-feed.ts";

/** A piece of the control plane's state that may have changed. */
export type FeedChange = Change extends infer C
  ? C extends unknown
    ? Omit<C, "cursor">
    : never
  : never;

export interface FeedOptions {
  readonly source: Source;
  readonly log: Logger;
  /** These are deployed; they are put in force later. */
  announce(this: void, scripts: readonly ScriptKey[]): Promise<void>;
  /** Every host that is announced, or answered by an origin, is known. */
  announced(this: void): Promise<void>;
  /** Puts the state of one object in force. Never rejects: what fails, fails loudly. */
  apply(this: void, change: FeedChange): Promise<void>;
}

/** Follows the control plane's changes, from everything there is to each as it is committed. */
export class Feed {
  readonly #options: FeedOptions;
  readonly #stopping = new AbortController();
  readonly #waiting = new Set<Waiter>();
  /** Cursors of the changes that are being put in force. */
  readonly #pending = new Set<number>();
  #cursor = 0;
  #running: Promise<void> = Promise.resolve();

  private constructor(options: FeedOptions) {
    this.#options = options;
  }

  /** Resolves when everything that was there has been put in force. */
  static async start(options: FeedOptions): Promise<Feed> {
    const feed = new Feed(options);
    const snapshot = await options.source.snapshot();
    await feed.#applyAll(snapshot);
    feed.#cursor = snapshot.cursor;
    feed.#running = feed.#follow();
    return feed;
  }

  /**
   * Resolves when every change up to `cursor` is in force, or has failed loudly.
   * @throws Error once the feed was stopped
   */
  applied(cursor: number): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#waiting.add({ cursor, resolve, reject });
    this.#wake();
    return promise;
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    for (const { reject } of this.#waiting) reject(new Error("the edge was stopped"));
    this.#waiting.clear();
    await this.#running;
  }

  async #applyAll({ accounts, certificates, databases, scripts }: Snapshot): Promise<void> {
    const { announce, announced, apply } = this.#options;
    await announce(scripts);
    // Workers last: what their bindings present and trust is there when they start.
    await Promise.all(accounts.map((accountId) => apply({ kind: "trust", accountId })));
    await Promise.all(certificates.map((key) => apply({ kind: "certificate", ...key })));
    // Origins answer at once: after what they are shown, and before a host is said to be unknown.
    await Promise.all(accounts.map((accountId) => apply({ kind: "hosts", accountId })));
    await announced();
    await Promise.all(databases.map((key) => apply({ kind: "database", ...key })));
    await Promise.all(accounts.map((accountId) => apply({ kind: "queues", accountId })));
    await Promise.all(scripts.map((key) => apply({ kind: "script", ...key })));
  }

  async #follow(): Promise<void> {
    const { source, log } = this.#options;
    const { signal } = this.#stopping;
    const backoff = new Backoff();
    while (!signal.aborted) {
      const since = performance.now();
      try {
        for await (const change of source.changes(this.#cursor, signal)) this.#take(change);
      } catch (error) {
        if (!signal.aborted)
          log.error({ error }, "the feed of changes broke off, it is read again");
      }
      const pause = backoff.next(performance.now() - since);
      await delay(pause, null, { signal }).catch(() => {});
    }
  }

  /** Does not wait: a Worker that is slow to start must not hold up a certificate's rotation. */
  #take({ cursor, ...change }: Change): void {
    this.#cursor = cursor;
    this.#pending.add(cursor);
    void this.#apply(cursor, change);
  }

  async #apply(cursor: number, change: FeedChange): Promise<void> {
    await this.#options.apply(change);
    this.#pending.delete(cursor);
    this.#wake();
  }

  #wake(): void {
    const done = this.#pending.size === 0 ? this.#cursor : Math.min(...this.#pending) - 1;
    for (const waiter of this.#waiting) {
      if (waiter.cursor > done) continue;
      this.#waiting.delete(waiter);
      waiter.resolve();
    }
  }
}

interface Waiter {
  readonly cursor: number;
  resolve(): void;
  reject(this: void, error: Error): void;
}
