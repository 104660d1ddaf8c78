/**
 * The time that is spent on the source maps of Workers: of each, and of all together. It is the
 * control plane's, which answers the API meanwhile.
 */
export class MappingTime {
  readonly #now: () => number;
  readonly #spent = new Map<string, Bucket>();

  /** @param now ms, monotonic */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** Null: the share is used up. Else what `work` comes to. */
  async within<T>(worker: string, work: () => Promise<T>): Promise<T | null> {
    const buckets = [this.#bucket("all", ALL), this.#bucket(`worker ${worker}`, EACH)];
    if (buckets.some(({ left }) => left <= 0)) return null;
    const began = this.#now();
    try {
      return await work();
    } finally {
      const ms = this.#now() - began;
      for (const bucket of buckets) bucket.left -= ms;
    }
  }

  #bucket(key: string, { burst, share }: typeof EACH): Bucket {
    const now = this.#now();
    const bucket = this.#spent.get(key) ?? { left: burst, at: now };
    // The one that is for all stays: it comes first.
    if (this.#spent.size > MOST_KEPT)
      for (const one of [...this.#spent.keys()].slice(1)) this.#spent.delete(one);
    this.#spent.set(key, bucket);
    bucket.left = Math.min(burst, bucket.left + (now - bucket.at) * share);
    bucket.at = now;
    return bucket;
  }
}

interface Bucket {
  /** ms */
  left: number;
  at: number;
}

const EACH = { burst: 500, share: 0.02 };
const ALL = { burst: 2_000, share: 0.1 };
const MOST_KEPT = 10_000;
