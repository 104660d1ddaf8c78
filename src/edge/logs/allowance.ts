export interface AllowanceLimits {
  /** What may be spent at once. */
  readonly burst: number;
  /** What comes back in each millisecond, up to `burst`. */
  readonly perMs: number;
}

/** What may be spent of something. The last that is spent may exceed it: then it is owed. */
export class Allowance {
  readonly #limits: AllowanceLimits;
  readonly #now: () => number;
  #left: number;
  #at: number;

  /** @param now ms, monotonic */
  constructor(limits: AllowanceLimits, now: () => number) {
    this.#limits = limits;
    this.#now = now;
    this.#left = limits.burst;
    this.#at = now();
  }

  get isUsedUp(): boolean {
    const { burst, perMs } = this.#limits;
    const now = this.#now();
    this.#left = Math.min(burst, this.#left + (now - this.#at) * perMs);
    this.#at = now;
    return this.#left <= 0;
  }

  spend(amount: number): void {
    this.#left -= amount;
  }
}
