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
