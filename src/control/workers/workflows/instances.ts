import { z } from "@hono/zod-openapi";
import type { Edge } from "../../../contract/edge.ts";
import type { WorkflowCall, WorkflowKey } from "../../../contract/workflows.ts";
import { Failure } from "../../../failures/failures.ts";
import type { LiveWorkflow } from "../../../store/workers/workflows.ts";
import type { ControlContext } from "../../api/context.ts";
import { endpoint, type Endpoint } from "../../api/endpoint.ts";
import { anyJson, fieldsOf } from "../../api/bounds.ts";
import { oneLine } from "../../api/text.ts";
import { shownInstance, toldInstance } from "./history.ts";
import { deployedVersion, existingWorkflow } from "./workflows.ts";

/** Characters of what an instance is given: Cloudflare has 1 MiB. */
const given = anyJson(1_000_000);
const id = oneLine.min(1).max(271);
const time = z.iso.datetime({ offset: true }).optional();
const filter = z.object({
  per_page: z.coerce.number().int().min(1).max(100).default(50),
  cursor: oneLine.max(200).optional(),
  status: oneLine.max(50).optional(),
  date_start: time,
  date_end: time,
});
// `wrangler workflows trigger` sends an empty id if none was given.
const made = z
  .object({ instance_id: oneLine.max(100).nullish(), params: given.optional() })
  .default({});
const change = z.object({
  status: z.enum(["pause", "resume", "terminate", "restart"]),
  from: fieldsOf(anyJson(1024), 50).optional(),
  rollback: z.boolean().optional(),
});
const several = z.object({ instances: z.array(id).min(1).max(100) });
const createdId = z.object({ id: z.string().max(271) });
const outcomes = z.object({
  deleted: z.array(createdId).max(100),
  errors: z
    .array(z.object({ id: z.string().max(271), code: z.number(), message: z.string().max(1000) }))
    .max(100),
});
const statusTold = z.object({ status: z.string().max(50) });

/** Instances of Workflows. The engine in their Worker's process is asked. */
export function instanceEndpoints(context: ControlContext): readonly Endpoint[] {
  const { store, clock } = context;
  const all = "/accounts/{account_id}/workflows/{workflow_name}/instances";
  const one = `${all}/{instance_id}`;
  const read = "workers_scripts:read";
  const write = "workers_scripts:write";
  const ask = async (
    call: Parameters<typeof existingWorkflow>[1],
    asked: WorkflowCall,
  ): Promise<unknown> => {
    const key = keyOf(await existingWorkflow(store.db, call));
    return required(context.edge.workflow, key)(key, asked);
  };
  const listing = (path: string): Endpoint =>
    endpoint(
      {
        method: "get",
        path,
        summary: "Instances of a Workflow, newest first",
        scope: read,
        query: filter,
      },
      async (call) => {
        const row = await existingWorkflow(store.db, call);
        const versionId = await deployedVersion(store.db, row);
        const { per_page: limit, cursor, status, date_start: from, date_end: to } = call.query;
        const key = keyOf(row);
        const asked = { limit, cursor, status, from, to };
        const found = await required(context.edge.workflowInstances, key)(key, asked);
        const result = found.instances.map((instance) => ({
          id: instance.id,
          status: instance.status,
          created_on: instance.createdOn,
          modified_on: instance.modifiedOn,
          version_id: versionId,
          workflow_id: row.id,
        }));
        const next = found.cursor === null ? {} : { cursor: found.cursor };
        return { result, resultInfo: { per_page: limit, count: result.length, ...next } };
      },
    );
  return [
    listing(all),
    // wrangler asks for the newest instance at this path.
    listing(`${all}/`),
    endpoint(
      { method: "post", path: all, summary: "Create an instance", scope: write, body: made },
      async (call) => {
        const { instance_id: wanted, params } = call.body;
        const options = { ...(wanted && { id: wanted }), ...(params != null && { params }) };
        const told = readAs(createdId, await ask(call, { call: "create", options }));
        const row = await existingWorkflow(store.db, call);
        return {
          result: {
            id: told.id,
            status: "queued",
            version_id: await deployedVersion(store.db, row),
            workflow_id: row.id,
          },
        };
      },
    ),
    endpoint({ method: "get", path: one, summary: "One instance", scope: read }, async (call) => {
      const row = await existingWorkflow(store.db, call);
      const told = readAs(toldInstance, await ask(call, { call: "instance", id: idOf(call) }));
      const versionId = await deployedVersion(store.db, row);
      return { result: { versionId, ...shownInstance(told) } };
    }),
    endpoint(
      {
        method: "patch",
        path: `${one}/status`,
        summary: "Pause, resume, terminate or restart an instance",
        scope: write,
        body: change,
      },
      async (call) => {
        const { status: action, from, rollback } = call.body;
        const options = { ...(from && { from }), ...(rollback && { rollback }) };
        const asked = { call: "change", id: idOf(call), action, options } as const;
        const { status } = readAs(statusTold, await ask(call, asked));
        return { result: { status, timestamp: clock().toISOString() } };
      },
    ),
    endpoint(
      {
        method: "post",
        path: `${one}/events/{event_type}`,
        summary: "Send an event to an instance",
        scope: write,
        body: given,
      },
      async (call) => {
        const type = call.params["event_type"] ?? "";
        await ask(call, { call: "event", id: idOf(call), type, payload: call.body ?? {} });
        return { result: null };
      },
    ),
    endpoint(
      {
        method: "post",
        path: `${all}/batch/delete`,
        summary: "Delete instances",
        scope: write,
        body: several,
      },
      async (call) => ({
        result: readAs(outcomes, await ask(call, { call: "remove", ids: call.body.instances })),
      }),
    ),
    endpoint(
      {
        method: "put",
        path: `${all}/terminate`,
        summary: "Terminate all instances: refused, for nobody watches such a job here",
        scope: write,
      },
      () => {
        throw new Failure("feature_unsupported", {
          message: "Countersign does not have a job that terminates all instances of a Workflow",
          fix: "Terminate each: `wrangler workflows instances list NAME`, `… terminate NAME ID`. Or delete the Workflow.",
        });
      },
    ),
  ];
}

function keyOf({
  accountId,
  script: scriptName,
  name: workflow,
  id: workflowId,
}: LiveWorkflow): WorkflowKey {
  return { accountId, scriptName, workflow, workflowId };
}

function idOf({ params }: { readonly params: Readonly<Record<string, string>> }): string {
  const parsed = id.safeParse(params["instance_id"] ?? "");
  if (parsed.success) return parsed.data;
  throw new Failure("workflow_instance_invalid");
}

/** An edge without storage has no Workflows. */
function required<T extends Edge["workflow"] | Edge["workflowInstances"]>(
  method: T | undefined,
  { scriptName }: WorkflowKey,
): T {
  if (method !== undefined) return method;
  throw new Failure("workflow_unreachable", {
    message: `the Worker "${scriptName}" does not run here`,
  });
}

/** A Worker's process may answer anything, so the answer is checked. */
function readAs<T extends z.ZodType>(schema: T, told: unknown): z.output<T> {
  const parsed = schema.safeParse(told);
  if (parsed.success) return parsed.data;
  throw new Failure("workflow_unreachable", {
    message: "the Worker's process answered otherwise than the engine does",
  });
}
