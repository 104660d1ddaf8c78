import { isDeepStrictEqual } from "node:util";
import { observabilityOf } from "../../../store/workers/observability.ts";
import { z } from "@hono/zod-openapi";
import { applyChange } from "../../api/apply-change.ts";
import type { ScriptKey } from "../../../contract/change-feed.ts";
import { Failure } from "../../../failures/failures.ts";
import { revokeIdentity } from "../../../identity/lifecycle.ts";
import { scriptsThatBind } from "../../../store/hosts/associations.ts";
import { findIdentity } from "../../../store/identities.ts";
import { consumersOfScript } from "../../../store/workers/queues.ts";
import {
  deleteScript,
  findScript,
  listScripts,
  updateScript,
} from "../../../store/workers/scripts.ts";
import type { Database } from "../../../store/database.ts";
import { newestVersion } from "../../../store/workers/versions.ts";
import { list } from "../../api/envelope.ts";
import { actorOf } from "../../api/auth.ts";
import type { ControlContext } from "../../api/context.ts";
import { endpoint, type Endpoint } from "../../api/endpoint.ts";
import { removeDeletedObjects } from "../objects.ts";
import { bindersOf } from "../remote-classes.ts";
import { existingScript, keyOf, scriptNotFound } from "../lookup.ts";
import type { Publisher } from "../publisher.ts";
import {
  assertScriptSettings,
  givenSettings,
  scriptSettings,
  settingsOf,
  tellEnvironment,
  withSettings,
} from "./script-settings.ts";
import { shownScript, shownSettings } from "./script-shown.ts";

const forced = z.object({ force: z.string().optional() });

export function scriptEndpoints(
  context: ControlContext,
  publisher: Publisher,
): readonly Endpoint[] {
  const { store } = context;
  const path = "/accounts/{account_id}/workers/scripts";
  const one = `${path}/{script_name}`;
  return [
    endpoint(
      { method: "get", path, summary: "List scripts", scope: "workers_scripts:read" },
      async ({ caller }) => {
        const scripts = await listScripts(store.db, caller.accountId);
        return list(
          await Promise.all(
            scripts.map(async (script) =>
              shownScript(script, await newestVersion(store.db, script.id)),
            ),
          ),
        );
      },
    ),
    deleteScriptEndpoint(context, publisher, one),
    endpoint(
      {
        method: "get",
        path: `${one}/settings`,
        summary: "Bindings and settings",
        scope: "workers_scripts:read",
      },
      async (call) => {
        const script = await existingScript(store.db, call);
        const version = await newestVersion(store.db, script.id);
        return { result: shownSettings(script, version) };
      },
    ),
    endpoint(
      {
        method: "get",
        path: `${one}/script-settings`,
        summary: "Settings of no version",
        scope: "workers_scripts:read",
      },
      async (call) => ({ result: settingsOf(await existingScript(store.db, call)) }),
    ),
    endpoint(
      {
        method: "patch",
        path: `${one}/script-settings`,
        summary: "Change settings of no version",
        scope: "workers_scripts:write",
        body: scriptSettings,
      },
      async (call) => {
        assertScriptSettings(call.body);
        const value = await applyChange(context, async ({ db, changed: tell }) => {
          const script = await existingScript(db, call);
          const changed = withSettings(script, givenSettings(call.body));
          await updateScript(db, script.id, { settings: changed });
          // Recording calls depends on how the Worker's process runs, so this setting needs a new generation.
          if (!isDeepStrictEqual(observabilityOf(script), observabilityOf({ settings: changed }))) {
            await tell({ kind: "script", ...keyOf(call) });
          }
          await tellEnvironment({ changed: tell }, keyOf(call), script, { settings: changed });
          return {
            value: { ...script, settings: changed },
            audit: {
              by: actorOf(call.caller),
              action: "script.settings",
              accountId: script.accountId,
              resource: { type: "script", id: script.id, name: script.name },
              before: settingsOf(script),
              after: settingsOf({ settings: changed }),
            },
          };
        });
        return { result: settingsOf(value) };
      },
    ),
    endpoint(
      {
        method: "get",
        path: `${one}/references`,
        summary: "The scripts that have a service binding to this one",
        scope: "workers_scripts:read",
      },
      async (call) => {
        const { id: scriptId, accountId, name } = await existingScript(store.db, call);
        const incoming = await callersOf(store.db, { accountId, scriptName: name });
        const binders = await bindersOf(store.db, accountId, scriptId);
        return {
          result: {
            services: {
              incoming: incoming.map((service) => ({ service, environment: "production" })),
              outgoing: [],
            },
            durable_objects: binders.map(({ script, id, className }) => ({
              service: script,
              environment: "production",
              durable_object_namespace_id: id,
              durable_object_namespace_name: `${name}_${className}`,
            })),
          },
        };
      },
    ),
  ];
}

/** Cloudflare has this operation under two paths. */
export function deleteScriptEndpoint(
  context: ControlContext,
  publisher: Publisher,
  path: string,
): Endpoint {
  return endpoint(
    {
      method: "delete",
      path,
      summary: "Delete a script",
      scope: "workers_scripts:write",
      query: forced,
    },
    async (call) => {
      await removeScript(context, publisher, call, call.query.force === "true");
      return { result: null };
    },
  );
}

/** @throws Failure `script_not_found`, `script_in_use` without `force` */
export function removeScript(
  context: ControlContext,
  publisher: Publisher,
  call: Parameters<typeof keyOf>[0],
  force: boolean,
): Promise<void> {
  const key = keyOf(call);
  return publisher.exclusively(key, async () => {
    await applyChange(context, async (write) => {
      const { db, changed } = write;
      const script = await findScript(db, key);
      if (!script) throw scriptNotFound(key.scriptName);
      const users = force ? [] : await usersOf(db, key, script.id);
      if (users.length > 0) {
        throw new Failure("script_in_use", {
          message: `the Worker "${key.scriptName}" is bound by ${users.map((u) => `"${u}"`).join(", ")}`,
          facts: { scripts: users },
        });
      }
      const consumed = await consumersOfScript(db, script.id);
      await deleteScript(db, script.id);
      if (consumed.length > 0) await changed({ kind: "queues", accountId: key.accountId });
      // A later Worker with the same name must not get the rights that this one's identity had.
      if (await findIdentity(db, key)) {
        await revokeIdentity(write, key, "deleted", context.clock());
      }
      await changed({ kind: "script", ...key });
      return {
        value: null,
        audit: {
          by: actorOf(call.caller),
          action: "script.delete",
          accountId: key.accountId,
          resource: { type: "script", id: script.id, name: script.name },
        },
      };
    });
    await removeDeletedObjects(context);
    await context.logs?.journal.remove(key);
  });
}

async function usersOf(db: Database, key: ScriptKey, scriptId: string): Promise<string[]> {
  const binders = await bindersOf(db, key.accountId, scriptId);
  const scripts = binders.map(({ script }) => script);
  return [...new Set([...(await callersOf(db, key)), ...scripts])].toSorted();
}

async function callersOf(db: Database, key: ScriptKey): Promise<string[]> {
  const users = await scriptsThatBind(db, key.accountId, "service", key.scriptName);
  return users.filter((name) => name !== key.scriptName);
}
