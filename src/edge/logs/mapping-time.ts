import { Allowance, type AllowanceLimits } from "./allowance.ts";

/**
 * The time that is spent on the source maps of Workers: of each, and of all together. It is the
 * control plane's, which answers the API meanwhile.
 */
export class MappingTime {
  readonly #now: () => number;
  readonly #all: Allowance;
  readonly #each = new Map<string, Allowance>();

  /** @param now ms, monotonic */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
    this.#all = new Allowance(ALL, now);
  }

  /** Null: the share is used up. Else what `work` comes to. */
  async within<T>(worker: string, work: () => Promise<T>): Promise<T | null> {
    const own = this.#of(worker);
    if (this.#all.isUsedUp || own.isUsedUp) return null;
    const began = this.#now();
    try {
      return await work();
    } finally {
      const ms = this.#now() - began;
      this.#all.spend(ms);
      own.spend(ms);
    }
  }

  #of(worker: string): Allowance {
    const known = this.#each.get(worker);
    if (known !== undefined) return known;
    // All that is lost is what they owe.
    if (this.#each.size >= MOST_KEPT) this.#each.clear();
    const own = new Allowance(EACH, this.#now);
    this.#each.set(worker, own);
    return own;
  }
}

/** ms of work, and ms for each ms. */
const EACH: AllowanceLimits = { burst: 500, perMs: 0.02 };
const ALL: AllowanceLimits = { burst: 2_000, perMs: 0.1 };
const MOST_KEPT = 10_000;
