/** ms that a signed answer is handed out for, at most: what has ended meanwhile is still in it. */
const KEPT = 30_000;
/** Answers kept: the oldest go first. */
const MOST = 1_000;

interface Kept {
  readonly cursor: number;
  readonly madeOn: number;
  readonly answer: Promise<string>;
}

/** What was signed for one reader is handed to all that ask for the same until something changes. */
export class SignedAnswers {
  readonly #kept: Map<string, Kept> = new Map();

  /** @param key of what is asked for @param cursor of what is in it */
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
