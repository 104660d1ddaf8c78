import type { Edge } from "../../contract/edge.ts";
import type { Done, Store, Write } from "../../store/store.ts";

interface ChangeContext {
  readonly store: Store;
  readonly edge: Pick<Edge, "applied">;
}

/**
 * Runs a change in one transaction, and waits until the edge has what it put into the feed in force.
 * @throws whatever `work` throws; nothing is changed then
 */
export async function applyChange<T>(
  { store, edge }: ChangeContext,
  work: (write: Write) => Promise<Done<T>>,
): Promise<T> {
  const { value, cursor } = await store.write(work);
  if (cursor > 0) await edge.applied(cursor);
  return value;
}
