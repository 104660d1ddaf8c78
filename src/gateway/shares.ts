/** What one of several processes gets of a limit: all of them together have just as much. */
export function shareOf(limit: number, { index, count }: Place): number {
  return Math.floor((limit + index) / count);
}

/** The same where a process with nothing could not go on: one at least, so that all may have as many as they are. */
export function someOf(limit: number, place: Place): number {
  return Math.max(1, shareOf(limit, place));
}

/** Which of how many processes. */
export interface Place {
  readonly index: number;
  readonly count: number;
}

/** How many of something each owner has at once. */
export class Shares {
  readonly #most: number;
  readonly #taken: Map<string, number> = new Map();

  constructor(most: number) {
    this.#most = most;
  }

  /** Null: the owner has as many as it may. Else to be called once, when it is given back. */
  take(owner: string): (() => void) | null {
    const taken = this.#taken.get(owner) ?? 0;
    if (taken >= this.#most) return null;
    this.#taken.set(owner, taken + 1);
    return () => {
      const left = this.#taken.get(owner)! - 1;
      if (left === 0) this.#taken.delete(owner);
      else this.#taken.set(owner, left);
    };
  }
}
