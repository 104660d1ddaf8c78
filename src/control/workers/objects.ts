import { isDeepStrictEqual } from "node:util";
import type { Database } from "../../store/database.ts";
import { Failure } from "../../failures/failures.ts";
import {
  deletedNamespaces,
  forgetNamespaces,
  listNamespaces,
  namespacesOf,
  setNamespaces,
} from "../../store/workers/object-namespaces.ts";
import { deletedWorkflows, forgetWorkflow } from "../../store/workers/workflows.ts";
import { updateScript } from "../../store/workers/scripts.ts";
import { list } from "../api/envelope.ts";
import type { ControlContext } from "../api/context.ts";
import { endpoint, type Endpoint } from "../api/endpoint.ts";
import type { ObjectsPlan } from "./migrations.ts";

/**
 * Stores which classes have Durable Objects from now on.
 * @throws Failure `migration_tag_mismatch` if another deploy has migrated since the plan was made
 */
export async function storeObjects(
  db: Database,
  scriptId: string,
  { before, after, tag }: ObjectsPlan,
): Promise<void> {
  if (!isDeepStrictEqual(await namespacesOf(db, scriptId), before)) {
    throw new Failure("migration_tag_mismatch", {
      message: "another deploy of the Worker has migrated its Durable Objects just now",
    });
  }
  await setNamespaces(db, scriptId, after);
  await updateScript(db, scriptId, { migrationTag: tag });
}

/**
 * Deletes the data of deleted namespaces and Workflows, as soon as no process has them open. Data that could not be
 * deleted are deleted by the next call, at the next start at the latest.
 */
export async function removeDeletedObjects({
  store,
  edge,
  log,
}: Pick<ControlContext, "store" | "edge" | "log">): Promise<void> {
  const remove = async (
    { id, accountId }: { readonly id: string; readonly accountId: string },
    forget: (db: Database) => Promise<void>,
  ): Promise<void> => {
    try {
      // An edge without storage has nothing to delete.
      await edge.removeObjects?.(accountId, [id]);
      await store.housekeep(({ db }) => forget(db));
    } catch (error) {
      log.error({ err: error, account: accountId, namespace: id }, "objects were not removed");
    }
  };
  for (const row of await deletedNamespaces(store.db)) {
    await remove(row, (db) => forgetNamespaces(db, [row.id]));
  }
  for (const row of await deletedWorkflows(store.db)) {
    await remove(row, (db) => forgetWorkflow(db, row.id));
  }
}

export function objectEndpoints({ store }: ControlContext): readonly Endpoint[] {
  return [
    endpoint(
      {
        method: "get",
        // `wrangler delete` uses this too.
        path: "/accounts/{account_id}/workers/durable_objects/namespaces",
        summary: "List namespaces of Durable Objects",
        scope: "workers_scripts:read",
      },
      async ({ caller }) =>
        list(
          (await listNamespaces(store.db, caller.accountId)).map((row) => ({
            id: row.id,
            name: `${row.script}_${row.className}`,
            script: row.script,
            class: row.className,
            use_sqlite: row.usesSql === 1,
          })),
        ),
    ),
  ];
}
