import { z } from "@hono/zod-openapi";
import { randomBytes } from "node:crypto";
import { applyChange } from "../api/apply-change.ts";
import { Failure } from "../../failures/failures.ts";
import { scriptsThatBind } from "../../store/hosts/associations.ts";
import { currentDeployment } from "../../store/workers/deployments.ts";
import { findAccount } from "../../store/access/accounts.ts";
import { previewSuffix } from "../../store/workers/previews.ts";
import { listResources } from "../../store/resources.ts";
import { consumersOfScript } from "../../store/workers/queues.ts";
import { listRoutes } from "../../store/workers/routes.ts";
import type { ScriptRow } from "../../store/schema.ts";
import {
  findScript,
  findScriptById,
  insertScript,
  listScripts,
  updateScript,
} from "../../store/workers/scripts.ts";
import type { Database } from "../../store/database.ts";
import { actorOf, type Caller } from "../api/auth.ts";
import type { ControlContext } from "../api/context.ts";
import { endpoint, type Endpoint } from "../api/endpoint.ts";
import { assertRoom } from "../api/room.ts";
import { oneLine } from "../api/text.ts";
import { list } from "../api/envelope.ts";
import { keyOf, scriptNotFound } from "./lookup.ts";
import type { Publisher } from "./publisher.ts";
import {
  assertScriptSettings,
  givenSettings,
  scriptSettings,
  settingsOf,
  tellEnvironment,
  withSettings,
} from "./scripts/script-settings.ts";
import { removeScript } from "./scripts/scripts.ts";

const wanted = scriptSettings.extend({
  name: oneLine,
  subdomain: z
    .object({ enabled: z.boolean().optional(), previews_enabled: z.boolean().optional() })
    .nullish(),
});
const change = wanted.partial();

/**
 * Workers as resources, with or without a version: Terraform's `cloudflare_worker`. They are the scripts, found by id
 * or name.
 */
export function workerEndpoints(
  context: ControlContext,
  publisher: Publisher,
): readonly Endpoint[] {
  const { store, edge, clock } = context;
  const path = "/accounts/{account_id}/workers/workers";
  const one = `${path}/{script_name}`;
  const read = "workers_scripts:read";
  const write = "workers_scripts:write";
  const update = async (
    call: Parameters<typeof existingWorker>[1],
    body: z.output<typeof change>,
  ): Promise<object> => {
    assertScriptSettings(body);
    const value = await applyChange({ store, edge }, async ({ db, changed }) => {
      const script = await existingWorker(db, call);
      if (body.name !== undefined && body.name !== script.name) {
        throw new Failure("feature_unsupported", {
          message: `the Worker "${script.name}" cannot be given another name`,
          fix: "Make another Worker, and delete this one.",
        });
      }
      const settings = withSettings(script, givenSettings(body));
      const enabled = body.subdomain?.enabled;
      const workersDev = enabled === undefined ? script.workersDev : Number(enabled);
      const wantsPreviews = body.subdomain?.previews_enabled ?? enabled;
      const previews = wantsPreviews === undefined ? script.previews : Number(wantsPreviews);
      await updateScript(db, script.id, {
        settings,
        workersDev,
        previews,
        modifiedOn: clock().toISOString(),
      });
      const key = { accountId: script.accountId, scriptName: script.name };
      await tellEnvironment({ changed }, key, script, { settings });
      const isReached = workersDev !== script.workersDev || previews !== script.previews;
      if (isReached && (await currentDeployment(db, script.id))) {
        await changed({ kind: "script", ...key });
      }
      return {
        value: await existingWorker(db, call),
        audit: {
          by: actorOf(call.caller),
          action: "script.settings",
          accountId: script.accountId,
          resource: { type: "script", id: script.id, name: script.name },
          before: settingsOf(script),
          after: settingsOf({ settings }),
        },
      };
    });
    return shownWorker(store.db, value);
  };
  return [
    endpoint({ method: "get", path, summary: "List Workers", scope: read }, async ({ caller }) => {
      const scripts = await listScripts(store.db, caller.accountId);
      return list(await Promise.all(scripts.map((script) => shownWorker(store.db, script))));
    }),
    endpoint(
      {
        method: "post",
        path,
        summary: "Make a Worker without a version",
        scope: write,
        body: wanted,
      },
      async ({ caller, body }) => {
        assertScriptSettings(body);
        const key = keyOf({ caller, params: { script_name: body.name } });
        const script = await publisher.exclusively(key, async () => {
          const { value } = await store.write(async ({ db }) => {
            if (await findScript(db, key)) {
              throw new Failure("script_exists", {
                message: `there is a Worker "${key.scriptName}" already`,
              });
            }
            const now = clock().toISOString();
            const row: ScriptRow = {
              id: randomBytes(16).toString("hex"),
              accountId: key.accountId,
              name: key.scriptName,
              workersDev: body.subdomain?.enabled ? 1 : 0,
              previews: (body.subdomain?.previews_enabled ?? body.subdomain?.enabled) ? 1 : 0,
              settings: { ...givenSettings(body) },
              migrationTag: null,
              createdOn: now,
              modifiedOn: now,
            };
            await assertRoom(db, key.accountId, "scripts");
            await insertScript(db, row);
            return {
              value: row,
              audit: {
                by: actorOf(caller),
                action: "script.settings",
                accountId: key.accountId,
                resource: { type: "script", id: row.id, name: row.name },
                after: settingsOf(row),
              },
            };
          });
          return value;
        });
        return { result: await shownWorker(store.db, script) };
      },
    ),
    endpoint({ method: "get", path: one, summary: "One Worker", scope: read }, async (call) => ({
      result: await shownWorker(store.db, await existingWorker(store.db, call)),
    })),
    endpoint(
      { method: "put", path: one, summary: "Change a Worker", scope: write, body: change },
      async (call) => ({ result: await update(call, call.body) }),
    ),
    endpoint(
      {
        method: "patch",
        path: one,
        summary: "Change a Worker in part",
        scope: write,
        body: change,
      },
      async (call) => ({ result: await update(call, call.body) }),
    ),
    endpoint(
      { method: "delete", path: one, summary: "Delete a Worker", scope: write },
      async (call) => {
        const { name } = await existingWorker(store.db, call);
        await removeScript(context, publisher, { ...call, params: { script_name: name } }, false);
        return { result: null };
      },
    ),
  ];
}

/** Finds a Worker by its id, as Terraform does, or by its name. @throws Failure `script_not_found` */
export async function existingWorker(
  db: Database,
  { caller, params }: { caller: Caller; params: Readonly<Record<string, string>> },
): Promise<ScriptRow> {
  const wantedId = params["script_name"] ?? "";
  const { accountId } = caller;
  const script =
    (await findScript(db, { accountId, scriptName: wantedId })) ??
    (await findScriptById(db, accountId, wantedId));
  if (script) return script;
  throw scriptNotFound(wantedId.slice(0, 100));
}

async function shownWorker(db: Database, script: ScriptRow): Promise<object> {
  const deployment = await currentDeployment(db, script.id);
  const routes = await listRoutes(db, script.accountId);
  const users = await scriptsThatBind(db, script.accountId, "service", script.name);
  const scripts = await listScripts(db, script.accountId);
  const account = await findAccount(db, script.accountId);
  const consumed = await consumersOfScript(db, script.id);
  const queues = consumed.length === 0 ? [] : await listResources(db, script.accountId, "queue");
  const suffix = previewSuffix(account, script.name);
  return {
    id: script.id,
    name: script.name,
    ...settingsOf(script),
    observability: { enabled: false, ...settingsOf(script).observability },
    created_on: script.createdOn,
    updated_on: script.modifiedOn,
    deployed_on: deployment?.createdOn ?? null,
    subdomain: {
      enabled: script.workersDev === 1,
      previews_enabled: script.previews === 1,
      ...(suffix !== null && { preview_url_suffix: suffix }),
    },
    references: {
      dispatch_namespace_outbounds: [],
      domains: routes
        .filter(({ kind, scriptId }) => kind === "custom_domain" && scriptId === script.id)
        .map(({ id, pattern }) => ({
          id,
          hostname: pattern,
          certificate_id: "",
          zone_id: "",
          zone_name: "",
        })),
      durable_objects: [],
      queues: consumed.map(({ id, queueId }) => ({
        queue_consumer_id: id,
        queue_id: queueId,
        queue_name: queues.find((queue) => queue.id === queueId)?.name ?? "",
      })),
      workers: scripts
        .filter(({ name }) => name !== script.name && users.includes(name))
        .map(({ id, name }) => ({ id, name })),
    },
  };
}
