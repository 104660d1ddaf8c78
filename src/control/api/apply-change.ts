import type { Edge } from "../../contract/edge.ts";
import type { Done, Store, Write, WriteOptions } from "../../store/store.ts";

interface ChangeContext {
  readonly store: Store;
  readonly edge: Pick<Edge, "applied">;
}

/**
 * Runs a change in one transaction, then waits until the edge has applied what it added to the feed.
 * @throws whatever `work` throws; nothing is changed then
 */
export async function applyChange<T>(
  { store, edge }: ChangeContext,
  work: (write: Write) => Promise<Done<T>>,
  options: WriteOptions = {},
): Promise<T> {
  const { value, cursor } = await store.write(work, options);
  if (cursor > 0) await edge.applied(cursor);
  return value;
}
