import { isDeepStrictEqual } from "node:util";
import { z } from "@hono/zod-openapi";
import { Failure } from "../../../failures/failures.ts";
import type { Database } from "../../../store/database.ts";
import type { WorkflowRow, WorkflowSettings } from "../../../store/schema.ts";
import { currentDeployment } from "../../../store/workers/deployments.ts";
import { findScriptById } from "../../../store/workers/scripts.ts";
import {
  deleteWorkflow,
  findWorkflow,
  listWorkflows,
  type LiveWorkflow,
  putWorkflow,
} from "../../../store/workers/workflows.ts";
import { applyChange } from "../../api/apply-change.ts";
import { actorOf, type Caller } from "../../api/auth.ts";
import type { ControlContext } from "../../api/context.ts";
import { endpoint, type Endpoint } from "../../api/endpoint.ts";
import { list } from "../../api/envelope.ts";
import { oneLine } from "../../api/text.ts";
import { existingScript, keyOf } from "../lookup.ts";
import { removeDeletedObjects } from "../objects.ts";
import type { Publisher } from "../publisher.ts";
import { ofAnother } from "./plan.ts";

/** ms, or a text that the engine reads. */
const span = z.union([
  z.int().min(1),
  z
    .string()
    .max(100)
    .regex(
      /^\d+(\.\d+)? (millisecond|second|minute|hour|day|week|month|year)s?$/,
      "is no time such as `3 days`",
    ),
]);
const wanted = z.looseObject({
  script_name: z.string().max(255),
  class_name: oneLine.min(1).max(255),
  limits: z.strictObject({ steps: z.int().min(1).max(25_000).optional() }).nullish(),
  default_retention: z
    .strictObject({ success_retention: span.optional(), error_retention: span.optional() })
    .nullish(),
});

interface Called {
  readonly caller: Caller;
  readonly params: Readonly<Record<string, string>>;
}

/** Workflows: a deploy of their Worker makes them, and the settings that wrangler sends afterwards are stored here. */
export function workflowEndpoints(
  context: ControlContext,
  publisher: Publisher,
): readonly Endpoint[] {
  const { store, edge, clock } = context;
  const path = "/accounts/{account_id}/workflows";
  const one = `${path}/{workflow_name}`;
  const read = "workers_scripts:read";
  return [
    endpoint({ method: "get", path, summary: "List Workflows", scope: read }, async ({ caller }) =>
      list((await listWorkflows(store.db, caller.accountId)).map(shown)),
    ),
    endpoint({ method: "get", path: one, summary: "One Workflow", scope: read }, async (call) => ({
      result: shown(await existingWorkflow(store.db, call)),
    })),
    endpoint(
      { method: "get", path: `${one}/versions`, summary: "What a Workflow runs now", scope: read },
      async (call) => list(await versionsOf(store.db, await existingWorkflow(store.db, call))),
    ),
    endpoint(
      {
        method: "put",
        path: one,
        summary: "Change the limits of a Workflow",
        scope: "workers_scripts:write",
        body: wanted,
      },
      async (call) => {
        const { script_name: scriptName, class_name: className, ...rest } = call.body;
        refuseUnknown(rest);
        const key = keyOf({ ...call, params: { script_name: scriptName } });
        const settings = settingsFrom(call.body);
        const value = await publisher.exclusively(key, () =>
          applyChange({ store, edge }, async ({ db, changed }) => {
            const script = await existingScript(db, {
              ...call,
              params: { script_name: scriptName },
            });
            const { script: owner, ...before } = await existingWorkflow(db, call);
            const { id, name } = before;
            if (before.scriptId !== script.id) throw ofAnother(name, owner);
            if (before.className !== className) throw ofOtherClass(before, className);
            if (!isDeepStrictEqual(before.settings, settings)) {
              await putWorkflow(db, { ...before, settings, modifiedOn: clock().toISOString() });
              if (await currentDeployment(db, script.id)) await changed({ kind: "script", ...key });
            }
            return {
              value: await existingWorkflow(db, call),
              audit: {
                by: actorOf(call.caller),
                action: "workflow.update",
                accountId: key.accountId,
                resource: { type: "workflow", id, name },
                before: { ...before.settings },
                after: { ...settings },
              },
            };
          }),
        );
        return { result: shown(value) };
      },
    ),
    endpoint(
      {
        method: "delete",
        path: one,
        summary: "Delete a Workflow and its instances",
        scope: "workers_scripts:write",
      },
      async (call) => {
        await removeWorkflow(context, publisher, call);
        return { result: { status: "ok", success: true } };
      },
    ),
  ];
}

/** Its Worker keeps running, without the binding in `env`. */
async function removeWorkflow(
  context: ControlContext,
  publisher: Publisher,
  call: Called,
): Promise<void> {
  const { script: scriptName } = await existingWorkflow(context.store.db, call);
  const key = { accountId: call.caller.accountId, scriptName };
  await publisher.exclusively(key, async () => {
    await applyChange(context, async ({ db, changed }) => {
      const { id, name, className, scriptId } = await existingWorkflow(db, call);
      await deleteWorkflow(db, id);
      if (await currentDeployment(db, scriptId)) await changed({ kind: "script", ...key });
      return {
        value: null,
        audit: {
          by: actorOf(call.caller),
          action: "workflow.delete",
          accountId: key.accountId,
          resource: { type: "workflow", id, name },
          before: { class: className, script: scriptName },
        },
      };
    });
    await removeDeletedObjects(context);
  });
}

/** @throws Failure `workflow_unknown` */
export async function existingWorkflow(
  db: Database,
  { caller, params }: Called,
): Promise<LiveWorkflow> {
  const name = params["workflow_name"] ?? "";
  const found = await findWorkflow(db, caller.accountId, name);
  if (found !== null) return found;
  throw new Failure("workflow_unknown", {
    message: `there is no Workflow "${name.slice(0, 100)}" on your account`,
  });
}

/** The running code has the class that its deploy named, not another one. */
function ofOtherClass({ name, className }: WorkflowRow, wantedClass: string): Failure {
  return new Failure("workflow_invalid", {
    message: `the deployed Worker runs the Workflow "${name}" by the class "${className}", not by "${wantedClass}"`,
    fix: `Deploy the Worker with this \`class_name\` in its binding: the Workflow follows.`,
    facts: { workflow: name, class: className },
  });
}

/**
 * Refuses settings that the engine does not have, although the code already runs. @throws Failure `feature_unsupported`
 */
function refuseUnknown(rest: Readonly<Record<string, unknown>>): void {
  const known = new Set(["limits", "default_retention"]);
  const field = Object.keys(rest).find((one) => !known.has(one) && rest[one] != null);
  if (field !== undefined) throw workflowFieldRefusal(field);
}

/** The refusal of a field that wrangler sends only once the code runs. */
export function workflowFieldRefusal(field: string): Failure {
  const named = field.slice(0, 100);
  return new Failure("feature_unsupported", {
    message: `a Workflow has \`${named}\`, which Countersign does not have`,
    facts: { features: [`workflows.${named}`] },
    fix:
      field === "schedules"
        ? "Remove `schedules` from `workflows`, and have a cron trigger's `scheduled()` create the instance."
        : `Remove \`${named}\` from \`workflows\`.`,
  });
}

function settingsFrom({
  limits,
  default_retention: retention,
}: z.output<typeof wanted>): WorkflowSettings {
  const { success_retention: success, error_retention: error } = retention ?? {};
  const kept = { ...(success !== undefined && { success }), ...(error !== undefined && { error }) };
  return {
    ...(limits?.steps !== undefined && { steps: limits.steps }),
    ...(Object.keys(kept).length > 0 && { retention: kept }),
  };
}

/** Instances always run in the deployed version, whichever version they began with. So there is one. */
async function versionsOf(db: Database, row: LiveWorkflow): Promise<readonly object[]> {
  const versionId = await deployedVersion(db, row);
  if (versionId === null) return [];
  const script = await findScriptById(db, row.accountId, row.scriptId);
  return [
    {
      id: versionId,
      class_name: row.className,
      workflow_id: row.id,
      created_on: row.createdOn,
      modified_on: script?.modifiedOn ?? row.modifiedOn,
      ...(row.settings.steps !== undefined && { limits: { steps: row.settings.steps } }),
    },
  ];
}

/** Null: its Worker is not deployed. */
export async function deployedVersion(
  db: Database,
  { scriptId }: LiveWorkflow,
): Promise<string | null> {
  return (await currentDeployment(db, scriptId))?.versions[0]?.versionId ?? null;
}

function shown({ id, name, script, className, createdOn, modifiedOn }: LiveWorkflow): object {
  return {
    id,
    name,
    script_name: script,
    class_name: className,
    created_on: createdOn,
    modified_on: modifiedOn,
    triggered_on: null,
  };
}
