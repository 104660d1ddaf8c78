import type { TestEdge } from "./edge.ts";

const WORKERS = 4;

/**
 * Sends requests, one after the other on each of a few connections, while `task` runs and for a
 * moment before and after. What was not answered with 200 is in `failed`.
 */
export async function loadDuring(
  edge: TestEdge,
  host: string,
  paths: readonly string[],
  task: () => Promise<void>,
): Promise<{ failed: readonly string[] }> {
  const failed: string[] = [];
  let answered = 0;
  let done = false;
  const enough = Promise.withResolvers<void>();
  const send = async (first: number): Promise<void> => {
    for (let i = first; !done; i++) {
      const path = paths[i % paths.length]!;
      try {
        const { status, text } = await edge.fetch(host, path);
        if (status !== 200) failed.push(`${path}: ${status} ${text}`);
      } catch (error) {
        failed.push(`${path}: ${String(error)}`);
      }
      if (++answered === 20) enough.resolve();
    }
  };
  const workers = Array.from({ length: WORKERS }, (_, index) => send(index));
  await enough.promise;
  try {
    await task();
    await Promise.all(paths.map((path) => edge.fetch(host, path)));
  } finally {
    done = true;
    await Promise.all(workers);
  }
  return { failed };
}
