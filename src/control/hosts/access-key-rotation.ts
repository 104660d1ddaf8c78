import { ASSERTION_LIFE } from "../../contract/access.ts";
import type { AccessKeyRow } from "../../store/schema.ts";

export const DAY: number = 24 * 3_600_000;
/** ms before it signs that a key is published; verifiers fetch keys at least once a day. */
const PUBLISHED_BEFORE = DAY;
/** ms by which the clocks of verifiers may differ. */
const TOLERANCE = 5 * 60_000;

export interface Rotation {
  /** When the next key will begin to sign; it is to be published now. Null: it is published already, or not due. */
  readonly next: Date | null;
  /** Keys whose last assertion has expired. */
  readonly over: readonly string[];
}

/** The key that signs at a time. Undefined: there is no key. */
export function signerAt(keys: readonly AccessKeyRow[], now: Date): AccessKeyRow | undefined {
  return newestFirst(keys).find(({ signsFrom }) => Date.parse(signsFrom) <= now.getTime());
}

/**
 * What is due for an account's keys, if each signs for this many days. Even if the platform was down, the next key is
 * published for a whole day first.
 */
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
