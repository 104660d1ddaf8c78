import type { Failure } from "../../failures/failures.ts";

/**
 * Why connections of `connect()` failed lately. workerd tells a Worker only that one did; the Worker
 * may ask for the reason, at a URL that is never fetched otherwise: http is refused.
 */
export class RecentFailures {
  readonly #now: () => number;
  readonly #byOrigin: Map<string, { readonly failure: Failure; readonly at: number }> = new Map();

  constructor(now: () => number) {
    this.#now = now;
  }

  add(origin: string, failure: Failure): void {
    this.#byOrigin.delete(origin);
    if (this.#byOrigin.size >= MOST) this.#byOrigin.delete(this.#byOrigin.keys().next().value!);
    this.#byOrigin.set(origin, { failure, at: this.#now() });
  }

  /** @param url of a request. Undefined: it asks for something else. Null: nothing failed lately */
  asked(url: string): Failure | null | undefined {
    if (!url.startsWith(ASKED)) return undefined;
    const found = this.#byOrigin.get(`https://${url.slice(ASKED.length)}`);
    return found !== undefined && this.#now() - found.at < LATELY ? found.failure : null;
  }
}

const ASKED = "http://connect.countersign.invalid/";
const MOST = 64;
/** ms */
const LATELY = 10_000;
