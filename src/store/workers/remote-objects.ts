import type { WorkerBinding } from "../../contract/change-feed.ts";
import type { Database } from "../database.ts";

/** Which script keeps a namespace's objects now, and as which class. Null: it is deleted. */
export async function keeperOf(
  db: Database,
  accountId: string,
  namespaceId: string,
): Promise<{ readonly scriptName: string; readonly className: string } | null> {
  const row = await db
    .selectFrom("objectNamespaces")
    .innerJoin("scripts", "scripts.id", "objectNamespaces.scriptId")
    .select(["scripts.name as scriptName", "objectNamespaces.className"])
    .where("objectNamespaces.accountId", "=", accountId)
    .where("objectNamespaces.id", "=", namespaceId)
    .executeTakeFirst();
  return row ?? null;
}

/** Null: the script keeps no objects of such a class, or there is none. */
export async function namespaceOfClass(
  db: Database,
  { accountId, scriptName }: { readonly accountId: string; readonly scriptName: string },
  className: string,
): Promise<string | null> {
  const row = await db
    .selectFrom("objectNamespaces")
    .innerJoin("scripts", "scripts.id", "objectNamespaces.scriptId")
    .select("objectNamespaces.id")
    .where("objectNamespaces.accountId", "=", accountId)
    .where("scripts.name", "=", scriptName)
    .where("objectNamespaces.className", "=", className)
    .executeTakeFirst();
  return row?.id ?? null;
}

/** Bindings to objects of other scripts, as these are called and kept now: some were renamed or transferred. */
export function withKeepers(
  db: Database,
  { accountId, scriptName }: { readonly accountId: string; readonly scriptName: string },
  bindings: readonly WorkerBinding[],
): Promise<WorkerBinding[]> {
  return Promise.all(
    bindings.map(async (binding) => {
      if (binding.type !== "durable_object_namespace" || !binding.remote) return binding;
      const { remote, ...rest } = binding;
      const keeper = await keeperOf(db, accountId, remote.namespaceId);
      if (keeper === null) return binding;
      const own = { ...rest, className: keeper.className };
      if (keeper.scriptName === scriptName) return own;
      return { ...own, remote: { ...remote, scriptName: keeper.scriptName } };
    }),
  );
}
