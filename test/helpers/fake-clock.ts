import type { Clock } from "../../src/gateway/clock.ts";

/** A clock that advances only when it is told to. */
export class FakeClock implements Clock {
  #now: number;
  readonly #alarms = new Set<{ readonly at: number; readonly ring: () => void }>();

  constructor(now: number) {
    this.#now = now;
  }

  now(): number {
    return this.#now;
  }

  after(ms: number, ring: () => void): () => void {
    const alarm = { at: this.#now + ms, ring };
    this.#alarms.add(alarm);
    return () => this.#alarms.delete(alarm);
  }

  /** Runs due timers on the way, each at its time. */
  advance(ms: number): void {
    const end = this.#now + ms;
    for (;;) {
      const [next] = [...this.#alarms].toSorted((a, b) => a.at - b.at);
      if (next === undefined || next.at > end) break;
      this.#alarms.delete(next);
      this.#now = next.at;
      next.ring();
    }
    this.#now = end;
  }
}
