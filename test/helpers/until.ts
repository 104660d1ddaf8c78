import { setTimeout as delay } from "node:timers/promises";

/**
 * Waits until a condition holds.
 * @param within ms, after which it throws
 */
export async function until(
  condition: () => boolean | Promise<boolean>,
  within = 15_000,
): Promise<void> {
  const deadline = Date.now() + within;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`it did not come about: ${String(condition)}`);
    await delay(20);
  }
}
