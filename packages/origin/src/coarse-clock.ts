/** How long one reading of the clock is used, ms. */
const KEPT = 100;

/**
 * `Date.now`, read at most every 100 ms: on many virtual machines each reading is a system call that takes as long as
 * the rest of a decision. There is no timer, so an idle process is not woken.
 */
export function coarseClock(): () => number {
  let now: number | null = null;
  const forget = (): void => {
    now = null;
  };
  return () => {
    if (now === null) {
      now = Date.now();
      setTimeout(forget, KEPT).unref();
    }
    return now;
  };
}
