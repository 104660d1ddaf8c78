import { setTimeout as delay } from "node:timers/promises";

/**
 * Waits until a condition holds.
 * @param within ms, after which it throws
 */
export async function until(
  condition: () => boolean | Promise<boolean>,
  within = 15_000,
): Promise<void> {
  const begun = Date.now();
  while (!(await condition())) {
    const waited = Date.now() - begun;
    if (waited > within) throw new Error(`it did not come about: ${String(condition)}`);
    // Asking costs, and what takes long is not there a moment later.
    await delay(Math.min(10 + waited / 10, 100));
  }
}
