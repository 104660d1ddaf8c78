import type { LookupAddress } from "node:dns";

/**
 * Finds the addresses of a name. Rejects with an error of the resolver's, whose `code` says why.
 * @param signal aborts when nobody waits any more: what has not begun is not begun
 */
export type Resolve = (host: string, signal?: AbortSignal) => Promise<readonly LookupAddress[]>;

/** Look-ups at once. Each holds a thread of the process until the system's resolver gives up. */
export interface LookupShares {
  readonly binding: number;
  readonly worker: number;
  readonly account: number;
  readonly all: number;
}

/** For whom a name is looked up. */
export interface LookupOwner {
  readonly account: string;
  /** Unique within its account. */
  readonly worker?: string;
  /** Unique within its Worker. */
  readonly binding?: string;
}

/**
 * Look-ups of names, with a share for each binding, Worker and account. Nobody has more than a
 * share, nor more than half of what is left: so few who have slow names never have all, and a
 * look-up above its share waits only for look-ups of the same binding, Worker or account.
 */
export class Lookups {
  readonly #resolve: Resolve;
  readonly #all: Share;
  /** Of an account, a Worker, a binding. */
  readonly #most: readonly number[];

  constructor(resolve: Resolve, { all, account, worker, binding }: LookupShares) {
    this.#resolve = resolve;
    this.#all = new Share(null, "", all);
    this.#most = [account, worker, binding];
  }

  of({ account, worker = "", binding = "" }: LookupOwner): Resolve {
    const names = [account, worker, binding];
    return (host, signal) =>
      new Promise((fulfil, reject) => {
        const share = names.reduce((of, name, i) => of.share(name, this.#most[i]!), this.#all);
        const start = (): void => {
          share.count("running", 1);
          const ended = (): void => {
            share.count("running", -1);
            this.#next();
          };
          // The system's resolver cannot be cancelled. Until it gives up, the share is in use.
          void this.#look(host).finally(ended).then(fulfil, reject);
        };
        if (share.isFree()) start();
        else if (share.waiting >= MOST_WAITING) reject(crowded());
        else wait(share, start, signal, reject);
      });
  }

  async #look(host: string): ReturnType<Resolve> {
    return this.#resolve(host);
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

/** What one has of the look-ups, within what a wider one has. */
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
   * Whose look-up is begun next, if one may be: of the account with the fewest in progress, there
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

function wait(
  share: Share,
  start: () => void,
  signal: AbortSignal | undefined,
  reject: (reason: unknown) => void,
): void {
  share.queue.add(start);
  share.count("waiting", 1);
  const calledOff = (): void => {
    if (share.queue.delete(start)) share.count("waiting", -1);
    reject(signal?.reason);
  };
  signal?.addEventListener("abort", calledOff, { once: true });
}

const MOST_WAITING = 256;

function crowded(): Error {
  return Object.assign(new Error("too many names are looked up for this binding"), {
    code: "TOO_MANY_LOOKUPS",
  });
}
