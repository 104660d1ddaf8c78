import { setTimeout as wait } from "node:timers/promises";

export interface RoundsOptions {
  /** ms from the end of one to the next. */
  readonly interval: number;
  /** Hears what one throws: the next comes all the same. */
  readonly failed: (error: unknown) => void;
}

/** A task that is done again and again, one round at a time, until this is disposed of. */
export class Rounds implements AsyncDisposable {
  readonly #stop = new AbortController();
  #running: Promise<void> = Promise.resolve();

  /** Aborted when they end: a round need not go on. */
  get signal(): AbortSignal {
    return this.#stop.signal;
  }

  /** The first comes at once. */
  begin(round: () => Promise<void>, { interval, failed }: RoundsOptions): void {
    this.#running = (async () => {
      while (!this.signal.aborted) {
        await round().catch(failed);
        await wait(interval, undefined, { signal: this.signal }).catch(() => {});
      }
    })();
  }

  /** Resolves when the last one has ended. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }
}
