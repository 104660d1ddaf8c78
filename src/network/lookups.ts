import type { LookupAddress } from "node:dns";
import { FairShares, TooManyWait } from "./fair-shares.ts";

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

/** Look-ups of names, with a share for each binding, Worker and account. */
export class Lookups {
  readonly #resolve: Resolve;
  readonly #shares: FairShares;

  constructor(resolve: Resolve, { all, account, worker, binding }: LookupShares) {
    this.#resolve = resolve;
    this.#shares = new FairShares(all, [account, worker, binding], MOST_WAITING);
  }

  of({ account, worker = "", binding = "" }: LookupOwner): Resolve {
    const owner = [account, worker, binding];
    // The system's resolver cannot be cancelled. Until it gives up, the share is in use.
    return async (host, signal) =>
      this.#shares
        .within(owner, () => this.#resolve(host), { signal })
        .catch((error: unknown) => {
          throw error instanceof TooManyWait ? crowded() : error;
        });
  }
}

const MOST_WAITING = 256;

function crowded(): Error {
  return Object.assign(new Error("too many names are looked up for this binding"), {
    code: "TOO_MANY_LOOKUPS",
  });
}
