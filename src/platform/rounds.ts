import { setTimeout as wait } from "node:timers/promises";

export interface RoundsOptions {
  /** ms from the end of one round to the beginning of the next. */
  readonly interval: number;
  /** Called with the error of a failed round; the next round follows all the same. */
  readonly failed: (error: unknown) => void;
}

/** Repeats a task, one round at a time, until it is disposed of. */
export class Rounds implements AsyncDisposable {
  readonly #stop = new AbortController();
  #running: Promise<void> = Promise.resolve();

  /** Aborted when this is disposed of; a running round may stop early. */
  get signal(): AbortSignal {
    return this.#stop.signal;
  }

  /** Starts the first round at once. */
  begin(round: () => Promise<void>, { interval, failed }: RoundsOptions): void {
    this.#running = (async () => {
      while (!this.signal.aborted) {
        await round().catch(failed);
        await wait(interval, undefined, { signal: this.signal }).catch(() => {});
      }
    })();
  }

  /** Resolves when the last round has ended. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }
}
