/** ms that a time is good for. */
const KEPT = 100;

/**
 * `Date.now`, asked at most every 100 ms: on many virtual machines each question is a system call, which
 * takes as long as all the rest of a decision. Nothing wakes up while nobody asks.
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
