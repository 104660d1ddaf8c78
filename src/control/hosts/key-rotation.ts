import { ASSERTION_LIFE } from "../../contract/access.ts";
import type { AccessKeyRow } from "../../store/schema.ts";

export const DAY: number = 24 * 3_600_000;
/** ms: those who verify ask again for keys within a day. */
const PUBLISHED_BEFORE = DAY;
/** ms: clocks of those who verify may differ. */
const TOLERANCE = 5 * 60_000;

export interface Rotation {
  /** When the next key begins to sign, which is to be published now. Null: there is one, or it is not due. */
  readonly next: Date | null;
  /** Keys of which no assertion is in force any more. */
  readonly over: readonly string[];
}

/** What signs at a time. Undefined: there is no key. */
export function signerAt(keys: readonly AccessKeyRow[], now: Date): AccessKeyRow | undefined {
  return newestFirst(keys).find(({ signsFrom }) => Date.parse(signsFrom) <= now.getTime());
}

/** What of an account's keys is due, where each signs for so many days. A platform that was away publishes the next one for a whole day all the same. */
export function rotationOf(keys: readonly AccessKeyRow[], days: number, now: Date): Rotation {
  const ordered = newestFirst(keys);
  const over = ordered.slice(1).filter((_, index) => {
    const endsSigning = Date.parse(ordered[index]!.signsFrom);
    return endsSigning + ASSERTION_LIFE * 1000 + TOLERANCE <= now.getTime();
  });
  const [newest] = ordered;
  const end = newest ? Date.parse(newest.signsFrom) + days * DAY : Infinity;
  const isDue = end - PUBLISHED_BEFORE <= now.getTime();
  const next = isDue ? new Date(Math.max(end, now.getTime() + PUBLISHED_BEFORE)) : null;
  return { next, over: over.map(({ id }) => id) };
}

function newestFirst(keys: readonly AccessKeyRow[]): readonly AccessKeyRow[] {
  return keys.toSorted((a, b) => Date.parse(b.signsFrom) - Date.parse(a.signsFrom));
}
