import type { LimitedRun } from "../generation/worker-limits.ts";

export interface WatchedClock {
  /** ms since 1970. */
  now(this: void): number;
  /** ms that only ever go on. */
  passed(this: void): number;
}

/** ms between two looks. */
const TICK = 1_000;
/** ms: less is not worth what is under way. */
const LEAST = 10_000;

/**
 * Ends a process once the clock was set back. workerd's own never goes back: what a queue is sent would be due, and a key
 * of KV expire, only when the old time has come again.
 */
export function endWithClock(
  run: LimitedRun,
  clock: WatchedClock = { now: () => Date.now(), passed: () => performance.now() },
): LimitedRun {
  const ahead = (): number => clock.now() - clock.passed();
  let before = ahead();
  let cause: string | null = null;
  const timer = setInterval(() => {
    const now = ahead();
    // Small steps count together, and steps forward are gone along with.
    before = Math.max(before, now);
    if (before - now < LEAST || cause !== null) return;
    cause = `the clock was set back by ${Math.round((before - now) / 1_000)} s`;
    run.stop(0).catch(() => {});
  }, TICK);
  timer.unref();
  const ended = run.ended.then((how) => {
    clearInterval(timer);
    return cause ?? how;
  });
  return { ...run, ended };
}
