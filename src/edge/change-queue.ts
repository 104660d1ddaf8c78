import { setTimeout as delay } from "node:timers/promises";
import type { Logger } from "pino";
import { Failure } from "../failures/failures.ts";
import { Backoff } from "../process/backoff.ts";
import type { FeedChange } from "./feed.ts";

/** How one change is put in force. */
interface ChangeQueueOptions {
  /** Rejects if the change is not in force. */
  readonly apply: (change: FeedChange) => Promise<void>;
  /** Nothing begins any more once it is aborted. */
  readonly signal: AbortSignal;
  readonly log: Logger;
}

/**
 * Changes of the same object are put in force in order, others side by side. What fails for a reason
 * that may pass is tried again.
 */
export class ChangeQueue {
  readonly #apply: (change: FeedChange) => Promise<void>;
  readonly #signal: AbortSignal;
  readonly #log: Logger;
  /** The last task of each object. */
  readonly #tails = new Map<string, Promise<void>>();

  constructor({ apply, signal, log }: ChangeQueueOptions) {
    this.#apply = apply;
    this.#signal = signal;
    this.#log = log;
  }

  /** Resolves when the change is in force, or was refused. Never rejects. */
  add(change: FeedChange): Promise<void> {
    return this.#enqueue(change, new Backoff());
  }

  /** Resolves once nothing is under way. */
  async idle(): Promise<void> {
    await Promise.all(this.#tails.values());
  }

  async #enqueue(change: FeedChange, backoff: Backoff): Promise<void> {
    const { kind, ...key } = change;
    const id = JSON.stringify([kind, ...Object.values(key)]);
    const task = this.#after(this.#tails.get(id), change, backoff);
    this.#tails.set(id, task);
    await task;
    if (this.#tails.get(id) === task) this.#tails.delete(id);
  }

  async #after(
    before: Promise<void> | undefined,
    change: FeedChange,
    backoff: Backoff,
  ): Promise<void> {
    await before;
    if (this.#signal.aborted) return;
    try {
      await this.#apply(change);
    } catch (error) {
      if (this.#signal.aborted) return;
      const reason = error instanceof Error ? error.message : String(error);
      this.#log.error({ ...change, reason, error }, "a change is not in force");
      // A refused certificate would be refused again. A Worker may have failed because the machine
      // was busy.
      const isFinal = error instanceof Failure && error.entry.side !== "platform";
      if (change.kind === "script" || !isFinal) void this.#later(change, backoff);
    }
  }

  async #later(change: FeedChange, backoff: Backoff): Promise<void> {
    const signal = this.#signal;
    await delay(backoff.next(0), null, { signal, ref: false }).catch(() => {});
    if (!signal.aborted) await this.#enqueue(change, backoff);
  }
}
