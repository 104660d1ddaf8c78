import type { Resolve } from "./resolve.ts";

/** Look-ups at once. Each holds a thread of the process until the system's resolver gives up. */
interface LookupShares {
  readonly binding: number;
  readonly account: number;
  readonly all: number;
}

/** The process has 64 threads (see `environment.ts`): some stay free, whatever names are slow. */
const lookupShares: LookupShares = { binding: 2, account: 8, all: 56 };

interface Waiting {
  readonly account: string;
  readonly binding: string;
  start(): void;
}

/**
 * Look-ups of names, shared out: what is above the share of its binding or account waits for its
 * own, and so one Worker's slow names never hold up another's.
 */
export class Lookups {
  readonly #resolve: Resolve;
  readonly #shares: LookupShares;
  readonly #running: Map<string, number> = new Map();
  #waiting: Waiting[] = [];

  constructor(resolve: Resolve, shares: LookupShares = lookupShares) {
    this.#resolve = resolve;
    this.#shares = shares;
  }

  /** @param binding unique within its account */
  of(account: string, binding: string): Resolve {
    const keys = { account: `account ${account}`, binding: `binding ${account} ${binding}` };
    return (host) =>
      new Promise((fulfil, reject) => {
        const start = (): void => {
          this.#count(keys, 1);
          const ended = (): void => {
            this.#count(keys, -1);
            this.#next();
          };
          void this.#resolve(host).finally(ended).then(fulfil, reject);
        };
        if (this.#isFree(keys)) start();
        else if (this.#isCrowded(keys.binding)) reject(crowded());
        else this.#waiting.push({ ...keys, start });
      });
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

  #next(): void {
    const still: Waiting[] = [];
    for (const one of this.#waiting) {
      if (this.#isFree(one)) one.start();
      else still.push(one);
    }
    this.#waiting = still;
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
