/**
 * From where on a time at which something is to be tried again is none: nothing waits so long. A
 * clock that was ahead set it, and what waits for it is due.
 * @param longest pause, in ms
 */
export function tooFarAhead(now: Date, longest: number): string {
  return new Date(now.getTime() + longest).toISOString();
}
