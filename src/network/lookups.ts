import type { LookupAddress } from "node:dns";

/**
 * Finds the addresses of a name. Rejects with an error of the resolver's, whose `code` says why.
 * @param signal aborts when nobody waits any more: what has not begun is not begun
 */
export type Resolve = (host: string, signal?: AbortSignal) => Promise<readonly LookupAddress[]>;

/** Look-ups at once. Each holds a thread of the process until the system's resolver gives up. */
export interface LookupShares {
  readonly binding: number;
  readonly account: number;
  readonly all: number;
}

interface Waiting {
  readonly account: string;
  readonly binding: string;
  start(): void;
}

/**
 * Look-ups of names, with a share for each binding and account. A look-up above its share waits
 * only for look-ups of the same binding or account, so slow names of one Worker never delay
 * another.
 */
export class Lookups {
  readonly #resolve: Resolve;
  readonly #shares: LookupShares;
  readonly #running: Map<string, number> = new Map();
  #waiting: Waiting[] = [];

  constructor(resolve: Resolve, shares: LookupShares) {
    this.#resolve = resolve;
    this.#shares = shares;
  }

  /** @param binding unique within its account */
  of(account: string, binding: string): Resolve {
    const keys = { account: `account ${account}`, binding: `binding ${account} ${binding}` };
    return (host, signal) =>
      new Promise((fulfil, reject) => {
        const start = (): void => {
          this.#count(keys, 1);
          const ended = (): void => {
            this.#count(keys, -1);
            this.#next();
          };
          // The system's resolver cannot be cancelled. Until it gives up, the share is in use.
          void this.#look(host).finally(ended).then(fulfil, reject);
        };
        if (this.#isFree(keys)) start();
        else if (this.#isCrowded(keys.binding)) reject(crowded());
        else this.#wait({ ...keys, start }, signal, reject);
      });
  }

  async #look(host: string): ReturnType<Resolve> {
    return this.#resolve(host);
  }

  #wait(one: Waiting, signal: AbortSignal | undefined, reject: (reason: unknown) => void): void {
    this.#waiting.push(one);
    const calledOff = (): void => {
      this.#waiting = this.#waiting.filter((other) => other !== one);
      reject(signal?.reason);
    };
    signal?.addEventListener("abort", calledOff, { once: true });
  }

  #isFree({ account, binding }: { account: string; binding: string }): boolean {
    return (
      this.#number(binding) < this.#shares.binding &&
      this.#number(account) < this.#shares.account &&
      this.#number(ALL) < this.#shares.all
    );
  }

  #isCrowded(binding: string): boolean {
    let waiting = 0;
    for (const one of this.#waiting) if (one.binding === binding) waiting += 1;
    return waiting >= MOST_WAITING;
  }

  /**
   * The account with the fewest look-ups in progress is served first; among equals, the look-up
   * that waits longest.
   */
  #next(): void {
    for (;;) {
      let first: Waiting | undefined;
      for (const one of this.#waiting) {
        if (!this.#isFree(one)) continue;
        if (!first || this.#number(one.account) < this.#number(first.account)) first = one;
      }
      if (first === undefined) return;
      this.#waiting.splice(this.#waiting.indexOf(first), 1);
      first.start();
    }
  }

  #number(key: string): number {
    return this.#running.get(key) ?? 0;
  }

  #count({ account, binding }: { account: string; binding: string }, by: number): void {
    for (const key of [account, binding, ALL]) {
      const now = this.#number(key) + by;
      if (now === 0) this.#running.delete(key);
      else this.#running.set(key, now);
    }
  }
}

const ALL = "all";
const MOST_WAITING = 256;

function crowded(): Error {
  return Object.assign(new Error("too many names are looked up for this binding"), {
    code: "TOO_MANY_LOOKUPS",
  });
}
