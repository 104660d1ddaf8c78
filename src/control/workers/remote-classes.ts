import type { ScriptKey, WorkerBinding } from "../../contract/change-feed.ts";
import { Failure } from "../../failures/failures.ts";
import { scriptsThatBind } from "../../store/hosts/associations.ts";
import { namespacesOf } from "../../store/workers/object-namespaces.ts";
import type { ObjectsPlan } from "./migrations.ts";
import type { Database } from "../../store/database.ts";
import { keeperOf, namespaceOfClass } from "../../store/workers/remote-objects.ts";
import { UNPLACED } from "./requested-bindings.ts";

/** Fills in the namespaces of other Workers' classes. Bindings to classes without a namespace are not changed. */
export function placed(
  db: Database,
  { accountId }: ScriptKey,
  bindings: readonly WorkerBinding[],
): Promise<WorkerBinding[]> {
  return Promise.all(
    bindings.map(async (binding) => {
      if (binding.type !== "durable_object_namespace") return binding;
      const { remote, className } = binding;
      if (remote?.namespaceId !== UNPLACED) return binding;
      const { scriptName } = remote;
      const id = await namespaceOfClass(db, { accountId, scriptName }, className);
      return id === null ? binding : { ...binding, remote: { scriptName, namespaceId: id } };
    }),
  );
}

/** @throws Failure `object_class_unconfigured` if no Worker has the objects that it binds */
export async function assertKept(
  db: Database,
  accountId: string,
  binding: WorkerBinding,
): Promise<void> {
  if (binding.type !== "durable_object_namespace" || !binding.remote) return;
  const { name, className, remote } = binding;
  if (await keeperOf(db, accountId, remote.namespaceId)) return;
  throw new Failure("object_class_unconfigured", {
    message: `the binding "${name}" names the class "${className}" of the Worker "${remote.scriptName}", which keeps no Durable Objects`,
    facts: { binding: name, class: className, script: remote.scriptName },
    fix: `Deploy the Worker "${remote.scriptName}" first, with a migration that makes the class "${className}", or correct \`class_name\` and \`script_name\`.`,
  });
}

/** Other scripts that bind Durable Objects of this script, and to which namespaces. */
export async function bindersOf(
  db: Database,
  accountId: string,
  scriptId: string,
): Promise<
  readonly { readonly script: string; readonly id: string; readonly className: string }[]
> {
  const namespaces = await namespacesOf(db, scriptId);
  const found = namespaces.map(async ({ id, className }) =>
    (await boundBy(db, accountId, id)).map((script) => ({ script, id, className })),
  );
  return (await Promise.all(found)).flat();
}

/** Scripts that bind Durable Objects which this change takes from another script. */
export async function bindersOfMoved(
  db: Database,
  accountId: string,
  { before, after, from }: ObjectsPlan,
): Promise<readonly string[]> {
  if (from.length === 0) return [];
  const had = new Set(before.map(({ id }) => id));
  const moved = after.filter(({ id }) => !had.has(id));
  const binders = await Promise.all(moved.map(({ id }) => boundBy(db, accountId, id)));
  return [...new Set(binders.flat())];
}

function boundBy(db: Database, accountId: string, id: string): Promise<string[]> {
  return scriptsThatBind(db, accountId, "durable_object_namespace", id);
}
