/**
 * Shares of something that all use. An owner is named from the widest to the narrowest: account, Worker,
 * binding. Nobody has more than a share, nor more than half of what is left: so few owners never have all,
 * and who is above a share waits only for others of the same owner.
 */
export class FairShares {
  readonly #all: Share;
  readonly #most: readonly number[];
  readonly #waiting: number;

  /**
   * @param most for all together
   * @param each for one owner, from the widest to the narrowest
   * @param waiting how many may wait for the narrowest
   */
  constructor(most: number, each: readonly number[], waiting: number = Infinity) {
    this.#all = new Share(null, "", most);
    this.#most = each;
    this.#waiting = waiting;
  }

  /** Null: there is none left for this owner. Otherwise to be called once, when it is given back. */
  take(owner: readonly string[]): (() => void) | null {
    const share = this.#of(owner);
    return share.isFree() ? this.#taken(share) : null;
  }

  /**
   * Begins `work` when there is a share for it, at once if there is one.
   * @throws TooManyWait, or the reason of the signal
   */
  within<T>(owner: readonly string[], work: () => Promise<T>, limits: WaitLimits = {}): Promise<T> {
    return new Promise((fulfil, reject) => {
      const share = this.#of(owner);
      const start = (): void => {
        const giveBack = this.#taken(share);
        // An exception of `work` is a rejection, too.
        void (async () => work())().finally(giveBack).then(fulfil, reject);
      };
      if (share.isFree()) start();
      else if (share.waiting >= this.#waiting) reject(new TooManyWait());
      else wait({ share, start, refuse: reject }, limits);
    });
  }

  #of(owner: readonly string[]): Share {
    return owner.reduce((of, name, i) => of.share(name, this.#most[i]!), this.#all);
  }

  #taken(share: Share): () => void {
    share.count("running", 1);
    return () => {
      share.count("running", -1);
      this.#next();
    };
  }

  #next(): void {
    for (let share = this.#all.next(); share !== null; share = this.#all.next()) {
      const [start] = share.queue;
      share.queue.delete(start!);
      share.count("waiting", -1);
      start!();
    }
  }
}

export interface WaitLimits {
  /** Aborts when nobody waits any more: what has not begun is not begun. */
  readonly signal?: AbortSignal | undefined;
  /** ms to wait. Default: as long as it takes. */
  readonly patience?: number;
}

/** In the queue of the owner, or for too long. */
export class TooManyWait extends Error {}

/** What one owner has, within what a wider one has. */
class Share {
  running = 0;
  waiting = 0;
  /** Of the narrowest alone. */
  readonly queue: Set<() => void> = new Set();
  readonly #within: Share | null;
  readonly #name: string;
  readonly #most: number;
  /** Who was served last comes last. */
  readonly #parts: Map<string, Share> = new Map();

  constructor(within: Share | null, name: string, most: number) {
    this.#within = within;
    this.#name = name;
    this.#most = most;
  }

  share(name: string, most: number): Share {
    return this.#parts.get(name) ?? new Share(this, name, most);
  }

  isFree(): boolean {
    return this.#hasRoom() && (this.#within === null || this.#within.isFree());
  }

  /** One is always allowed while there is any. */
  #hasRoom(): boolean {
    const { running } = this;
    if (running >= this.#most) return false;
    return this.#within === null || running === 0 || running < this.#within.#left / 2;
  }

  get #left(): number {
    return this.#most - this.running;
  }

  /** It is kept as long as it counts something, here and in the wider ones. */
  count(what: "running" | "waiting", by: 1 | -1): void {
    this[what] += by;
    const within = this.#within;
    if (within === null) return;
    const isOver = this.running === 0 && this.waiting === 0;
    if (what === "running" || isOver) within.#parts.delete(this.#name);
    if (!isOver) within.#parts.set(this.#name, this);
    within.count(what, by);
  }

  /**
   * Whose work is begun next, if one may be: of the account with the fewest in progress, there
   * of the Worker with the fewest, in turns among equals.
   */
  next(): Share | null {
    if (this.waiting === 0 || !this.#hasRoom()) return null;
    if (this.queue.size > 0) return this;
    const waiting = [...this.#parts.values()].filter((part) => part.waiting > 0);
    for (const part of waiting.toSorted((one, other) => one.running - other.running)) {
      const next = part.next();
      if (next !== null) return next;
    }
    return null;
  }
}

interface Waiting {
  readonly share: Share;
  readonly start: () => void;
  readonly refuse: (reason: unknown) => void;
}

function wait({ share, start, refuse }: Waiting, { signal, patience }: WaitLimits): void {
  const over = (): void => {
    clearTimeout(timer);
    signal?.removeEventListener("abort", calledOff);
  };
  const begin = (): void => {
    over();
    start();
  };
  const leave = (reason: unknown): void => {
    over();
    share.queue.delete(begin);
    share.count("waiting", -1);
    refuse(reason);
  };
  const calledOff = (): void => leave(signal!.reason);
  const timer =
    patience === undefined ? undefined : setTimeout(() => leave(new TooManyWait()), patience);
  signal?.addEventListener("abort", calledOff, { once: true });
  share.queue.add(begin);
  share.count("waiting", 1);
}
