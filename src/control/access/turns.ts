import { Failure } from "../../failures/failures.ts";

export interface TurnsOptions {
  /** How many calls of `work` run at once. */
  readonly atOnce: number;
  /** How many calls wait for each key, and in all. */
  readonly waiting: number;
  readonly waitingInAll: number;
}

/** Limits expensive work: little runs at once, and keys take turns, so no key waits for another key's queue. */
export class Turns {
  readonly #options: TurnsOptions;
  /** In the order of their next turn. */
  readonly #queues = new Map<string, (() => void)[]>();
  #working = 0;
  #waiting = 0;

  constructor(options: TurnsOptions) {
    this.#options = options;
  }

  /** @throws Failure `too_many_tries` if too many wait already, and whatever `work` throws */
  async run<T>(key: string, work: () => Promise<T>): Promise<T> {
    if (this.#working < this.#options.atOnce) this.#working += 1;
    else await this.#wait(key);
    try {
      return await work();
    } finally {
      this.#handOn();
    }
  }

  #wait(key: string): Promise<void> {
    const { waiting, waitingInAll } = this.#options;
    const queue = this.#queues.get(key) ?? [];
    if (queue.length >= waiting || this.#waiting >= waitingInAll) {
      throw new Failure("too_many_tries", {
        message: "too many tries are being checked at this moment",
        facts: { retryAfterSeconds: 1 },
      });
    }
    this.#queues.set(key, queue);
    this.#waiting += 1;
    return new Promise((resolve) => queue.push(resolve));
  }

  /** Gives the free place to the next in the queue, if there is one. */
  #handOn(): void {
    for (const [key, queue] of this.#queues) {
      this.#queues.delete(key);
      const go = queue.shift();
      if (queue.length > 0) this.#queues.set(key, queue);
      this.#waiting -= 1;
      go?.();
      return;
    }
    this.#working -= 1;
  }
}
