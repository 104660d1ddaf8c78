import type { BindingMode, ScriptKey, WorkerBinding } from "../../contract/change-feed.ts";
import type { Database } from "../database.ts";

/** Names of a script's bindings that are `in-process`, whichever versions have them. */
export async function inProcessBindings(
  db: Database,
  { accountId, scriptName }: ScriptKey,
): Promise<ReadonlySet<string>> {
  const rows = await db
    .selectFrom("bindingModes as m")
    .innerJoin("scripts as s", "s.id", "m.scriptId")
    .select("m.name")
    .where("s.accountId", "=", accountId)
    .where("s.name", "=", scriptName)
    .where("m.mode", "=", "in-process")
    .execute();
  return new Set(rows.map(({ name }) => name));
}

export async function setBindingMode(
  db: Database,
  scriptId: string,
  name: string,
  mode: BindingMode,
): Promise<void> {
  await db
    .insertInto("bindingModes")
    .values({ scriptId, name, mode })
    .onConflict((o) => o.columns(["scriptId", "name"]).doUpdateSet({ mode }))
    .execute();
}

/** The bindings of a version as the script runs them. */
export function withModes(
  bindings: readonly WorkerBinding[],
  inProcess: ReadonlySet<string>,
): WorkerBinding[] {
  return bindings.map((binding) =>
    binding.type === "mtls_certificate" && inProcess.has(binding.name)
      ? { ...binding, mode: "in-process" }
      : binding,
  );
}
