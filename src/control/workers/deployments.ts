import { z } from "@hono/zod-openapi";
import { annotation, fieldsOf } from "../api/bounds.ts";
import { Failure } from "../../failures/failures.ts";
import type { Database } from "../../store/database.ts";
import {
  currentDeployment,
  deleteDeployment,
  findDeployment,
  listDeployments,
  type StoredDeployment,
  type VersionShare,
} from "../../store/workers/deployments.ts";
import type { ScriptRow } from "../../store/schema.ts";
import { actorOf } from "../api/auth.ts";
import type { ControlContext } from "../api/context.ts";
import { endpoint, type Endpoint } from "../api/endpoint.ts";
import { byOf, existingScript, keyOf } from "./lookup.ts";
import type { Publisher } from "./publisher.ts";
import { oneLine } from "../api/text.ts";

const wanted = z.object({
  strategy: z.literal("percentage").default("percentage"),
  versions: z
    .array(z.object({ version_id: oneLine, percentage: z.number().min(0).max(100) }))
    .min(1)
    .max(100),
  annotations: fieldsOf(annotation.nullish(), 50).default({}),
});

/** How many deployments are listed, as on Cloudflare. */
const LISTED = 100;

/** `wrangler deployments`, `versions deploy`, `rollback`, and `deploy` of an existing Worker. */
export function deploymentEndpoints(
  { store }: ControlContext,
  publisher: Publisher,
): readonly Endpoint[] {
  const path = "/accounts/{account_id}/workers/scripts/{script_name}/deployments";
  return [
    endpoint(
      { method: "get", path, summary: "List deployments", scope: "workers_scripts:read" },
      async (call) => {
        const script = await existingScript(store.db, call);
        const deployments = await listDeployments(store.db, script.id, LISTED);
        return { result: { deployments: deployments.map(shown) } };
      },
    ),
    endpoint(
      {
        method: "get",
        path: `${path}/{deployment_id}`,
        summary: "One deployment",
        scope: "workers_scripts:read",
      },
      async (call) => {
        const script = await existingScript(store.db, call);
        return { result: shown(await existingDeployment(store.db, script, call.params)) };
      },
    ),
    endpoint(
      {
        method: "delete",
        path: `${path}/{deployment_id}`,
        summary: "Delete a deployment that is over",
        scope: "workers_scripts:write",
      },
      (call) =>
        publisher.exclusively(keyOf(call), async () => {
          await store.write(async ({ db }) => {
            const script = await existingScript(db, call);
            const deployment = await existingDeployment(db, script, call.params);
            const current = await currentDeployment(db, script.id);
            if (current?.id === deployment.id) throw new Failure("deployment_in_force");
            await deleteDeployment(db, deployment.id);
            return {
              value: null,
              audit: {
                by: actorOf(call.caller),
                action: "deployment.delete",
                accountId: script.accountId,
                resource: { type: "script", id: script.id, name: script.name },
                before: { deployment: deployment.id, number: deployment.number },
              },
            };
          });
          return { result: null };
        }),
    ),
    endpoint(
      {
        method: "post",
        path,
        summary: "Deploy versions that were uploaded",
        scope: "workers_scripts:write",
        body: wanted,
      },
      async (call) => {
        const shares = sharesOf(call.body.versions);
        const annotations = Object.fromEntries(
          Object.entries(call.body.annotations).flatMap(([k, v]) => (v == null ? [] : [[k, v]])),
        );
        const deployed = await publisher.deploy(keyOf(call), shares, {
          ...byOf(call),
          annotations,
          force: new URL(call.request.url).searchParams.get("force") === "true",
        });
        return { result: shown(deployed) };
      },
    ),
  ];
}

/** @throws Failure `deployment_not_found` */
async function existingDeployment(
  db: Database,
  script: ScriptRow,
  { deployment_id: id = "" }: Readonly<Record<string, string>>,
): Promise<StoredDeployment> {
  const found = await findDeployment(db, script.id, id);
  if (found) return found;
  throw new Failure("deployment_not_found", {
    message: `the Worker "${script.name}" has no deployment "${id.slice(0, 100)}"`,
  });
}

function sharesOf(
  versions: readonly { version_id: string; percentage: number }[],
): readonly VersionShare[] {
  const ids = new Set(versions.map(({ version_id: id }) => id));
  const total = versions.reduce((sum, { percentage }) => sum + percentage, 0);
  if (ids.size < versions.length || Math.abs(total - 100) > 1e-6) {
    throw new Failure("deployment_invalid", {
      message: `${versions.length} versions with ${total} % of the traffic are no deployment`,
    });
  }
  // A version without a share of the traffic runs too, because an override header can reach it.
  return versions.map(({ version_id: versionId, percentage }) => ({ versionId, percentage }));
}

function shown(stored: StoredDeployment): object {
  return {
    id: stored.id,
    source: stored.source,
    strategy: "percentage",
    author_email: stored.author,
    created_on: stored.createdOn,
    annotations: stored.annotations,
    versions: stored.versions.map(({ versionId, percentage }) => ({
      version_id: versionId,
      percentage,
    })),
  };
}
