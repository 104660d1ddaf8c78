import { z } from "@hono/zod-openapi";
import { count, flag, type Results, text, time } from "./common.ts";

const workflow = z
  .object({
    id: text,
    name: text,
    script_name: text,
    class_name: text,
    created_on: time,
    modified_on: time,
    triggered_on: time.nullable(),
  })
  .openapi("Workflow");

const version = z
  .object({
    id: text,
    class_name: text,
    workflow_id: text,
    created_on: time,
    modified_on: time,
    limits: z.object({ steps: count }).optional(),
  })
  .openapi("WorkflowVersion");

const listed = z
  .object({
    id: text,
    status: text,
    created_on: time,
    modified_on: time,
    version_id: text.nullable(),
    workflow_id: text,
  })
  .openapi("ListedWorkflowInstance");

const error = z.object({ name: text.optional(), message: text.optional() }).nullable();
const trigger = z.object({ source: text });

const step = z
  .object({
    type: text,
    name: text.optional(),
    start: time.optional(),
    end: time.nullable().optional(),
    success: flag.nullable().optional(),
    finished: flag.optional(),
    config: z.unknown().optional(),
    attempts: z
      .array(z.object({ start: time, end: time.nullable(), success: flag.nullable(), error }))
      .optional(),
    output: z.unknown().optional(),
    error: error.optional(),
    trigger: trigger.optional(),
  })
  .openapi("WorkflowStep");

const instance = z
  .object({
    versionId: text.nullable(),
    status: text,
    queued: time,
    start: time.nullable(),
    end: time.nullable(),
    success: flag.nullable(),
    trigger,
    params: z.unknown(),
    output: z.unknown(),
    error,
    steps: z.array(step),
    step_count: count,
  })
  .openapi("WorkflowInstance");

const created = z
  .object({ id: text, status: text, version_id: text.nullable(), workflow_id: text })
  .openapi("CreatedWorkflowInstance");

const path = "/accounts/{account_id}/workflows";
const one = `${path}/{workflow_name}`;
const all = `${one}/instances`;

export const workflowResults: Results = {
  [`GET ${path}`]: z.array(workflow),
  [`GET ${one}`]: workflow,
  [`PUT ${one}`]: workflow,
  [`DELETE ${one}`]: z.object({ status: text, success: flag }),
  [`GET ${one}/versions`]: z.array(version),
  [`GET ${all}`]: z.array(listed),
  [`GET ${all}/`]: z.array(listed),
  [`POST ${all}`]: created,
  [`GET ${all}/{instance_id}`]: instance,
  [`PATCH ${all}/{instance_id}/status`]: z.object({ status: text, timestamp: time }),
  [`POST ${all}/{instance_id}/events/{event_type}`]: z.null(),
  [`POST ${all}/batch/delete`]: z.object({
    deleted: z.array(z.object({ id: text })),
    errors: z.array(z.object({ id: text, code: z.number(), message: text })),
  }),
  [`PUT ${all}/terminate`]: z.null(),
};
