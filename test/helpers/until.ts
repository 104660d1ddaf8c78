import { setTimeout as delay } from "node:timers/promises";

/** Waits until something has come about. @throws after 15 s */
export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 15_000;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`it did not come about: ${String(condition)}`);
    await delay(20);
  }
}
