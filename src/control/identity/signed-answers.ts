/** The longest time that a signed answer is reused, ms. It may still contain entries that have expired meanwhile. */
const KEPT = 30_000;
/** How many answers are kept; the oldest are dropped first. */
const MOST = 1_000;

interface Kept {
  readonly cursor: number;
  readonly madeOn: number;
  readonly answer: Promise<string>;
}

/** Reuses what was signed for one reader for all that ask for the same, until something changes. */
export class SignedAnswers {
  readonly #kept: Map<string, Kept> = new Map();

  /** @param key identifies the question @param cursor of the state that the answer contains */
  of(key: string, cursor: number, now: number, sign: () => Promise<string>): Promise<string> {
    const kept = this.#kept.get(key);
    const age = now - (kept?.madeOn ?? 0);
    if (kept?.cursor === cursor && age >= 0 && age < KEPT) return kept.answer;
    const answer = sign();
    this.#kept.delete(key);
    this.#kept.set(key, { cursor, madeOn: now, answer });
    answer.catch(() => this.#kept.delete(key));
    for (const oldest of this.#kept.keys()) {
      if (this.#kept.size <= MOST) break;
      this.#kept.delete(oldest);
    }
    return answer;
  }
}
