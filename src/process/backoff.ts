/** Pauses between restarts: each twice the last, from 100 ms to 30 s. */
export class Backoff {
  #failures = 0;
  readonly #longest: number;

  /** @param longest ms. Default: 30 s */
  constructor(longest: number = LONGEST) {
    this.#longest = longest;
  }

  /** @param ranFor ms that the process worked; after 10 s, pauses start over */
  next(ranFor: number): number {
    if (ranFor >= STEADY) this.#failures = 0;
    return Math.min(FIRST * 2 ** this.#failures++, this.#longest);
  }
}

const FIRST = 100;
const LONGEST = 30_000;
const STEADY = 10_000;
