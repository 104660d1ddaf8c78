/** One moment for each name at which something is done. Timers count to 24 days: these further. */
export class Alarms {
  readonly #timers = new Map<string, NodeJS.Timeout>();

  /** @param at Unix time in ms; Infinity: never */
  set(name: string, at: number, ring: () => void): void {
    this.clear(name);
    if (at === Infinity) return;
    const left = Math.max(at - Date.now(), 0);
    const timer = setTimeout(
      () => (left > LONGEST ? this.set(name, at, ring) : ring()),
      Math.min(left, LONGEST),
    );
    this.#timers.set(name, timer.unref());
  }

  clear(name: string): void {
    clearTimeout(this.#timers.get(name));
    this.#timers.delete(name);
  }

  stop(): void {
    for (const name of this.#timers.keys()) this.clear(name);
  }
}

const LONGEST = 2 ** 31 - 1;
