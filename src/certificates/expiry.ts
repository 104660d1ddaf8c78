/** Days before the end at which a certificate's owner is told, the earliest first. */
export const expiryThresholds: readonly number[] = [30, 14, 7, 3, 1];

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const units: readonly (readonly [number, string])[] = [
  [DAY, "day"],
  [HOUR, "hour"],
  [MINUTE, "minute"],
  [SECOND, "second"],
];

/** `expires in 3 days`, `expired 2 hours ago`: in whole units, rounded towards now. Any date will do. */
export function describeExpiry(notAfter: Date, now: Date): string {
  const left = notAfter.getTime() - now.getTime();
  if (Number.isNaN(left)) return "has an unreadable date of expiry";
  return left >= 0
    ? `expires in ${describeDuration(left)}`
    : `expired ${describeDuration(-left)} ago`;
}

/** `3 days`, `1 hour`, `0 seconds`. */
export function describeDuration(milliseconds: number): string {
  const [size, unit] = units.find(([length]) => milliseconds >= length) ?? [SECOND, "second"];
  const count = Math.floor(milliseconds / size);
  return `${count} ${unit}${count === 1 ? "" : "s"}`;
}

/**
 * The narrowest threshold that was passed, in days: 3 with 2.5 days left, 0 once expired. Null: more
 * than 30 days are left.
 */
export function expiryThreshold(notAfter: Date, now: Date): number | null {
  const left = notAfter.getTime() - now.getTime();
  if (left < 0) return 0;
  return expiryThresholds.findLast((days) => left <= days * DAY) ?? null;
}
