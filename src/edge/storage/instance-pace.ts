import { setTimeout as delay } from "node:timers/promises";

export interface PaceOptions {
  /** How many may pass at once. */
  readonly atOnce: number;
  /** How many more may pass each second. */
  readonly perSecond: number;
}

/**
 * Instances that the platform reaches are in their Worker's memory for some seconds after that, with a quarter of a MB and
 * three open files each: these are 400 at most, and a Worker has 256 MiB.
 */
export const IN_MEMORY: PaceOptions = { atOnce: 200, perSecond: 40 };

/** Lets instances be reached no faster than they leave the memory again. */
export class Pace {
  readonly #options: PaceOptions;
  readonly #now: () => number;
  #left: number;
  #at: number;

  /** @param now ms, of a clock that is never set */
  constructor(options: PaceOptions, now: () => number = () => performance.now()) {
    this.#options = options;
    this.#now = now;
    this.#left = options.atOnce;
    this.#at = now();
  }

  /** ms until these may pass, which are counted as passed. Those that ask first pass first. */
  take(count: number): number {
    const { atOnce, perSecond } = this.#options;
    const now = this.#now();
    this.#left = Math.min(atOnce, this.#left + ((now - this.#at) / 1000) * perSecond) - count;
    this.#at = now;
    return this.#left >= 0 ? 0 : (-this.#left / perSecond) * 1000;
  }

  /** Resolves when these may pass. @throws AbortError */
  async passed(count: number, signal?: AbortSignal): Promise<void> {
    const wait = this.take(count);
    if (wait > 0) await delay(wait, undefined, { ref: false, ...(signal && { signal }) });
  }
}
