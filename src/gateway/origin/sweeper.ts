import type { Clock } from "../clock.ts";

/** Sweeps every 30 s, and at the moment at which the first certificate in use ends. */
export class Sweeper {
  readonly #clock: Clock;
  readonly #sweep: (now: number) => number;
  /** Unix time in ms. */
  #at = 0;
  #callOff: () => void = () => {};

  /** @param sweep returns when it is needed next, as Unix time in ms; Infinity: nothing is in use */
  constructor(clock: Clock, sweep: (now: number) => number) {
    this.#clock = clock;
    this.#sweep = sweep;
    this.#plan(clock.now() + EVERY);
  }

  /** Something is in use from now on that ends at `moment`. */
  bringForward(moment: number): void {
    if (moment < this.#at) this.#plan(moment);
  }

  stop(): void {
    this.#callOff();
  }

  #plan(at: number): void {
    this.#callOff();
    this.#at = at;
    this.#callOff = this.#clock.after(Math.max(at - this.#clock.now(), 0), () => {
      const now = this.#clock.now();
      this.#plan(Math.min(now + EVERY, this.#sweep(now)));
    });
  }
}

/** ms */
const EVERY = 30_000;
