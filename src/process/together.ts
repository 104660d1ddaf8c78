import type { ProcessStatus } from "../contract/edge.ts";

/** Waits for all of them, even if one rejects. */
export async function inAll<T, R>(
  members: readonly T[],
  apply: (member: T) => Promise<R>,
): Promise<R[]> {
  const applied = await Promise.allSettled(members.map(apply));
  return applied.map((one) => {
    if (one.status === "rejected") throw one.reason;
    return one.value;
  });
}

/** All or none: those that have started are stopped if one does not start. */
export async function startAll<T>(
  members: readonly T[],
  start: (member: T) => Promise<void>,
  stop: (member: T) => Promise<void>,
): Promise<void> {
  const started = await Promise.allSettled(members.map(start));
  const failed = started.find((one) => one.status === "rejected");
  if (failed === undefined) return;
  const running = members.filter((_, index) => started[index]!.status === "fulfilled");
  await Promise.all(running.map(stop));
  throw failed.reason;
}

/** The status of several processes as one: it runs if all of them run. */
export function statusOfAll(all: readonly ProcessStatus[]): ProcessStatus {
  const shown = all.find(({ state }) => state !== "running") ?? all[0]!;
  const restarts = all.reduce((sum, one) => sum + one.restarts, 0);
  const lastExit = shown.lastExit ?? all.find((one) => one.lastExit !== null)?.lastExit ?? null;
  return { ...shown, restarts, lastExit };
}
