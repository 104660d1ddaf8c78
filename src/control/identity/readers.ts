import { Failure } from "../../failures/failures.ts";
import { neighbourhood } from "../../network/ranges.ts";
import { Throttle } from "../../network/throttle.ts";

/** Readers of published data need no token, so they are counted by address. */
const READS = { burst: 600, everyMs: 100 };
/** Answers of OCSP that are signed for an account: each is a signature and a look into the database. */
const SIGNED = { burst: 500, everyMs: 2 };
/** Of one address held open at a time, and of one account. Those beyond are answered at once. */
const WAITING = { address: 100, account: 1_000 };

/** The readers of what accounts publish, each with a share of its own. */
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

  /** Counts one more answer that is signed for an account. False: it has had its share. */
  maySign(account: string): boolean {
    if (this.#signed.wait(account) > 0) return false;
    this.#signed.count(account);
    return true;
  }

  /** Null: it is answered at once. Otherwise to be called when it waits no more. */
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
