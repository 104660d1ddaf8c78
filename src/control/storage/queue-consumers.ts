import { randomBytes } from "node:crypto";
import { z } from "@hono/zod-openapi";
import { Failure } from "../../failures/failures.ts";
import type { Database } from "../../store/database.ts";
import { currentDeployment } from "../../store/workers/deployments.ts";
import {
  consumersOfAccount,
  deleteConsumer,
  insertConsumer,
  updateConsumer,
  type FoundConsumer,
} from "../../store/workers/queues.ts";
import type { ConsumerSettings } from "../../store/schema.ts";
import { findResourceByName } from "../../store/resources.ts";
import { findScript } from "../../store/workers/scripts.ts";
import type { ResourceRow, ScriptRow } from "../../store/schema.ts";
import type { Write } from "../../store/store.ts";
import { applyChange } from "../api/apply-change.ts";
import type { Caller } from "../api/auth.ts";
import type { ControlContext } from "../api/context.ts";
import { endpoint, type Endpoint } from "../api/endpoint.ts";
import { list } from "../api/envelope.ts";
import { scriptNotFound } from "../workers/lookup.ts";
import { resourceAudit } from "./resource.ts";

const within = (most: number, least = 0) => z.number().int().min(least).max(most).nullish();

const consumer = z.object({
  type: z.string().max(50).default("worker"),
  script_name: z.string().max(255).optional(),
  dead_letter_queue: z.string().max(63).nullish(),
  settings: z
    .object({
      batch_size: within(100, 1),
      max_retries: within(100),
      max_wait_time_ms: within(60_000),
      max_concurrency: within(250, 1),
      retry_delay: within(86_400),
    })
    .default({}),
});
/** A call whose path names a queue. */
export interface QueueCall {
  readonly caller: Caller;
  readonly params: Readonly<Record<string, string>>;
}

type Sent = z.output<typeof consumer>;

/** The Worker that consumes a queue's messages. @param find @throws Failure `queue_not_found` */
export function queueConsumerEndpoints(
  context: ControlContext,
  queue: string,
  find: (db: Database, call: QueueCall) => Promise<ResourceRow>,
): readonly Endpoint[] {
  const path = `${queue}/consumers`;
  const one = `${path}/{consumer_id}`;
  const read = { scope: "workers_scripts:read" } as const;
  const write = { scope: "workers_scripts:write" } as const;
  const change = (
    call: QueueCall,
    work: (
      db: Database,
      row: ResourceRow,
      before: FoundConsumer | undefined,
    ) => Promise<ScriptRow[]>,
  ): Promise<object | null> =>
    applyChange(context, async (changes) => {
      const { db } = changes;
      const row = await find(db, call);
      const before = await consumerOf(db, row);
      const scripts = await work(db, row, before);
      await tell(changes, row, scripts);
      const after = await consumerOf(db, row);
      return {
        value: after === undefined ? null : shownConsumer(after, row.name),
        audit: resourceAudit(call.caller, "change", row),
      };
    });
  return [
    endpoint({ ...read, method: "get", path, summary: "Consumers of a queue" }, async (call) => {
      const row = await find(context.store.db, call);
      const found = await consumerOf(context.store.db, row);
      return list(found === undefined ? [] : [shownConsumer(found, row.name)]);
    }),
    endpoint({ ...read, method: "get", path: one, summary: "One consumer" }, async (call) => {
      const row = await find(context.store.db, call);
      const found = named(call, row, await consumerOf(context.store.db, row));
      return { result: shownConsumer(found, row.name) };
    }),
    endpoint(
      { ...write, method: "post", path, summary: "Have a Worker consume a queue", body: consumer },
      async (call) => ({
        result: await change(call, async (db, row, before) => {
          if (before !== undefined) {
            throw new Failure("queue_consumer_exists", {
              message: `the Worker "${before.scriptName}" consumes the queue "${row.name}"`,
            });
          }
          const script = await consuming(db, row, call.body);
          await insertConsumer(db, {
            id: randomBytes(16).toString("hex"),
            queueId: row.id,
            scriptId: script.id,
            ...kept(call.body),
            createdOn: context.clock().toISOString(),
          });
          return [script];
        }),
      }),
    ),
    endpoint(
      { ...write, method: "put", path: one, summary: "Change a consumer", body: consumer },
      async (call) => ({
        result: await change(call, async (db, row, before) => {
          const { id, scriptName } = named(call, row, before);
          const script = await consuming(db, row, call.body);
          await updateConsumer(db, id, { scriptId: script.id, ...kept(call.body) });
          const left = await findScript(db, { accountId: row.accountId, scriptName });
          return left === undefined || left.id === script.id ? [script] : [script, left];
        }),
      }),
    ),
    endpoint(
      { ...write, method: "delete", path: one, summary: "Have a queue keep its messages" },
      async (call) => ({
        result: await change(call, async (db, row, before) => {
          const { id, scriptName } = named(call, row, before);
          await deleteConsumer(db, id);
          const script = await findScript(db, { accountId: row.accountId, scriptName });
          return script === undefined ? [] : [script];
        }),
      }),
    ),
  ];
}

export function shownConsumer(
  { id, scriptName, deadLetterQueue, settings, createdOn }: FoundConsumer,
  queue: string,
): object {
  return {
    consumer_id: id,
    type: "worker",
    queue_name: queue,
    script: scriptName,
    script_name: scriptName,
    created_on: createdOn,
    ...(deadLetterQueue !== null && { dead_letter_queue: deadLetterQueue }),
    settings: {
      batch_size: settings.batch_size ?? 10,
      max_retries: settings.max_retries ?? 3,
      max_wait_time_ms: settings.max_wait_time_ms ?? 5_000,
      max_concurrency: settings.max_concurrency ?? null,
      retry_delay: settings.retry_delay ?? 0,
    },
  };
}

async function consumerOf(db: Database, row: ResourceRow): Promise<FoundConsumer | undefined> {
  return (await consumersOfAccount(db, row.accountId)).find(({ queueId }) => queueId === row.id);
}

/** @throws Failure `queue_consumer_not_found` */
function named(
  { params }: QueueCall,
  { name }: ResourceRow,
  found: FoundConsumer | undefined,
): FoundConsumer {
  const id = params["consumer_id"] ?? "";
  if (found?.id === id) return found;
  throw new Failure("queue_consumer_not_found", {
    message: `the queue "${name}" has no consumer "${id.slice(0, 100)}"`,
  });
}

/** @throws Failure `queue_pull_unsupported`, `feature_unsupported`, `script_not_found`, `queue_not_found` */
async function consuming(db: Database, { accountId }: ResourceRow, sent: Sent): Promise<ScriptRow> {
  if (sent.type === "http_pull") throw new Failure("queue_pull_unsupported");
  if (sent.type !== "worker") {
    throw new Failure("feature_unsupported", {
      message: `queues are consumed by Workers, and not by "${sent.type}"`,
      facts: { features: ["queue consumers"] },
    });
  }
  const dead = sent.dead_letter_queue ?? null;
  if (dead !== null && !(await findResourceByName(db, accountId, "queue", dead))) {
    throw new Failure("queue_not_found", {
      message: `there is no queue "${dead}" for dead letters`,
    });
  }
  const name = sent.script_name ?? "";
  const script = await findScript(db, { accountId, scriptName: name });
  if (!script) throw scriptNotFound(name);
  return script;
}

function kept({ dead_letter_queue: dead, settings }: Sent): {
  readonly deadLetterQueue: string | null;
  readonly settings: ConsumerSettings;
} {
  return { deadLetterQueue: dead ?? null, settings: settings ?? {} };
}

/** A Worker that starts or stops consuming gets a new process. */
async function tell(
  { db, changed }: Write,
  { accountId }: ResourceRow,
  scripts: readonly ScriptRow[],
): Promise<void> {
  for (const { id, name } of scripts) {
    if (await currentDeployment(db, id))
      await changed({ kind: "script", accountId, scriptName: name });
  }
  await changed({ kind: "queues", accountId });
}
