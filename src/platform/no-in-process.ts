import type { Logger } from "pino";
import { setBindingMode } from "../store/workers/binding-modes.ts";
import type { Store } from "../store/store.ts";

/** Puts every binding back to the gateway before anything runs, because the operator wants keys nowhere else. */
export async function keepKeysInGateway(store: Store, log: Logger): Promise<void> {
  const bindings = await store.db
    .selectFrom("bindingModes as m")
    .innerJoin("scripts as s", "s.id", "m.scriptId")
    .select(["m.scriptId", "m.name", "s.accountId", "s.name as script"])
    .where("m.mode", "=", "in-process")
    .execute();
  for (const { scriptId, name, accountId, script } of bindings) {
    await store.write(async ({ db, changed }) => {
      await setBindingMode(db, scriptId, name, "gateway");
      await changed({ kind: "script", accountId, scriptName: script });
      return {
        value: null,
        audit: {
          by: { kind: "system", id: null, email: "admin@localhost", address: null },
          action: "script.binding",
          accountId,
          resource: { type: "binding", id: `${scriptId}/${name}`, name },
          before: { mode: "in-process" },
          after: { mode: "gateway" },
        },
      };
    });
    log.warn({ script, binding: name }, "--no-in-process: the binding is back at the gateway");
  }
}
