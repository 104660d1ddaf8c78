import { Failure } from "../../failures/failures.ts";
import { neighbourhood } from "../../network/ranges.ts";
import { Throttle } from "../../network/throttle.ts";

/** Readers of published data need no token, so they are limited by address. */
const READS = { burst: 600, everyMs: 100 };
/** OCSP answers that are signed for an account; each costs a signature and a query of the database. */
const SIGNED = { burst: 500, everyMs: 2 };
/**
 * Requests that are held open at once, for each address and for each account. Further requests are answered at once.
 */
const WAITING = { address: 100, account: 1_000 };

/** Limits the readers of published data, by address and by account. */
export class Readers {
  readonly #reads: Throttle = new Throttle(READS);
  readonly #signed: Throttle = new Throttle(SIGNED);
  readonly #waiting: Map<string, number> = new Map();

  /** @throws Failure `published_too_often` */
  count(address: string | null): void {
    const key = keyOf(address);
    const wait = this.#reads.wait(key);
    if (wait > 0) {
      throw new Failure("published_too_often", {
        facts: { retryAfterSeconds: Math.ceil(wait / 1000) },
      });
    }
    this.#reads.count(key);
  }

  /** Counts one more answer that is signed for an account. False: the account has reached its limit. */
  maySign(account: string): boolean {
    if (this.#signed.wait(account) > 0) return false;
    this.#signed.count(account);
    return true;
  }

  /** Null: the request has to be answered at once. Otherwise a function to call when it no longer waits. */
  wait(account: string, address: string | null): (() => void) | null {
    const shares = [
      [`account ${account}`, WAITING.account],
      [`address ${keyOf(address)}`, WAITING.address],
    ] as const;
    if (shares.some(([key, most]) => (this.#waiting.get(key) ?? 0) >= most)) return null;
    for (const [key] of shares) this.#waiting.set(key, (this.#waiting.get(key) ?? 0) + 1);
    return () => {
      for (const [key] of shares) {
        const left = this.#waiting.get(key)! - 1;
        if (left === 0) this.#waiting.delete(key);
        else this.#waiting.set(key, left);
      }
    };
  }
}

function keyOf(address: string | null): string {
  return address === null ? "unknown" : neighbourhood(address);
}
