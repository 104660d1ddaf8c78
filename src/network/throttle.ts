import timers from "node:timers/promises";
import { Failure } from "../failures/failures.ts";

/** How long an answer is delayed at most, and how many answers are delayed at a time. */
const LONGEST_MS = 2000;
const HELD_AT_ONCE = 100;

export interface ThrottleOptions {
  /** Tries that cost nothing. */
  readonly burst: number;
  /** After that many milliseconds one more try is free. */
  readonly everyMs: number;
  /** Keys kept, the least recent is forgotten first. Default: 10,000. */
  readonly keys?: number;
  /** Milliseconds, from any start. Default: the monotonic clock. */
  readonly clock?: () => number;
}

/**
 * Counts tries by a key (an address, a name) in a leaky bucket: tries that overflow it have to
 * wait. Its memory is bounded: it first forgets the key whose last try is longest ago.
 */
export class Throttle {
  readonly #buckets = new Map<string, { level: number; at: number }>();
  readonly #options: Required<ThrottleOptions>;
  #held = 0;

  constructor(options: ThrottleOptions) {
    this.#options = { keys: 10_000, clock: () => performance.now(), ...options };
  }

  /** Milliseconds until the next try is free; 0: it is. Counts nothing. */
  wait(key: string): number {
    return Math.max(
      0,
      Math.ceil((this.#level(key) - this.#options.burst + 1) * this.#options.everyMs),
    );
  }

  /** Counts one try. */
  count(key: string): void {
    const level = Math.min(this.#level(key) + 1, this.#options.burst * 2);
    this.#buckets.delete(key);
    this.#buckets.set(key, { level, at: this.#options.clock() });
    if (this.#buckets.size <= this.#options.keys) return;
    for (const oldest of this.#buckets.keys()) {
      this.#buckets.delete(oldest);
      break;
    }
  }

  /** Takes one try back: it was not a failed one. */
  forgive(key: string): void {
    const bucket = this.#buckets.get(key);
    if (bucket) bucket.level = Math.max(0, bucket.level - 1);
  }

  /** @throws Failure `too_many_tries` if the next try is not free */
  assertFree(key: string): void {
    const wait = this.wait(key);
    if (wait > 0) throw tooManyTries(wait);
  }

  /**
   * Counts a try that failed, and holds its answer back once there were too many.
   * @throws Failure `too_many_tries`, late, if this one was over the brim
   */
  async failed(key: string): Promise<void> {
    const wait = this.wait(key);
    this.count(key);
    if (wait === 0) return;
    if (this.#held < HELD_AT_ONCE) {
      this.#held += 1;
      await timers.setTimeout(Math.min(wait, LONGEST_MS), undefined, { ref: false });
      this.#held -= 1;
    }
    throw tooManyTries(wait);
  }

  #level(key: string): number {
    const bucket = this.#buckets.get(key);
    if (!bucket) return 0;
    return Math.max(0, bucket.level - (this.#options.clock() - bucket.at) / this.#options.everyMs);
  }
}

function tooManyTries(wait: number): Failure {
  const seconds = Math.ceil(wait / 1000);
  return new Failure("too_many_tries", {
    message: `too many tries failed: the next one is free in ${seconds} s`,
    facts: { retryAfterSeconds: seconds },
  });
}
