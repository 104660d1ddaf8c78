import { z } from "@hono/zod-openapi";
import { Failure } from "../../failures/failures.ts";
import { boundQueues } from "../../store/hosts/associations.ts";
import type { Database } from "../../store/database.ts";
import {
  consumersOfAccount,
  type FoundConsumer,
  type QueueSettings,
} from "../../store/workers/queues.ts";
import { findResource, listResources, updateResource } from "../../store/resources.ts";
import type { ResourceRow } from "../../store/schema.ts";
import { applyChange } from "../api/apply-change.ts";
import type { ControlContext } from "../api/context.ts";
import { endpoint, type Endpoint } from "../api/endpoint.ts";
import { list } from "../api/envelope.ts";
import { queueConsumerEndpoints, shownConsumer, type QueueCall } from "./queue-consumers.ts";
import { queueMessageEndpoints } from "./queue-messages.ts";
import { resourceAudit, emptied, makeEmptied, removeResource } from "./resource.ts";

/** Seconds. Messages are kept for four days, Cloudflare's default. */
const RETENTION = 345_600;

const queueName = z
  .string()
  .regex(
    /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/,
    "is not 1 to 63 lower case letters, digits and dashes",
  );

const settings = z.strictObject({
  delivery_delay: z.number().int().min(0).max(86_400).optional(),
  delivery_paused: z.boolean().optional(),
  message_retention_period: z.number().int().optional(),
});

/** `wrangler queues`. */
export function queueEndpoints(context: ControlContext): readonly Endpoint[] {
  const { store, clock } = context;
  const path = "/accounts/{account_id}/queues";
  const one = `${path}/{queue_id}`;
  const read = { scope: "workers_scripts:read" } as const;
  const write = { scope: "workers_scripts:write" } as const;
  const changed = (accountId: string): Promise<null> =>
    applyChange(context, async (change) => {
      await change.changed({ kind: "queues", accountId });
      return { value: null, audit: null };
    });
  const change = async (call: QueueCall, sent: z.output<typeof settings>): Promise<object> => {
    const row = await queueOf(store.db, call);
    const { message_retention_period: _, ...given } = refuseRetention(sent);
    const merged = { ...row.settings, ...given };
    await applyChange(context, async ({ db, changed: tell }) => {
      await updateResource(db, row, { settings: merged, modifiedOn: clock().toISOString() });
      await tell({ kind: "queues", accountId: row.accountId });
      return { value: null, audit: resourceAudit(call.caller, "change", row) };
    });
    return await shownAll(store.db, row.accountId, [{ ...row, settings: merged }]).then(only);
  };
  const renaming = z.object({
    queue_name: queueName.optional(),
    settings: settings.optional(),
  });
  return [
    endpoint(
      { ...read, method: "get", path, summary: "List queues" },
      async ({ caller, request }) => {
        const names = new Set(new URL(request.url).searchParams.getAll("name"));
        const all = await listResources(store.db, caller.accountId, "queue");
        const wanted = names.size === 0 ? all : all.filter(({ name }) => names.has(name));
        return list(await shownAll(store.db, caller.accountId, wanted));
      },
    ),
    endpoint(
      {
        ...write,
        method: "post",
        path,
        summary: "Make a queue",
        body: z.object({ queue_name: queueName, settings: settings.optional() }),
      },
      async ({ caller, body }) => {
        const { accountId } = caller;
        const { message_retention_period: _, ...given } = refuseRetention(body.settings ?? {});
        const { queue_name: name } = body;
        const made = { kind: "queue", name, exists: "queue_exists", settings: given } as const;
        const row = await makeEmptied(context, caller, made);
        await changed(accountId);
        return { result: only(await shownAll(store.db, accountId, [row])) };
      },
    ),
    endpoint({ ...read, method: "get", path: one, summary: "One queue" }, async (call) => {
      const row = await queueOf(store.db, call);
      return { result: only(await shownAll(store.db, row.accountId, [row])) };
    }),
    ...(["put", "patch"] as const).map((method) =>
      endpoint(
        { ...write, method, path: one, summary: "Change, pause or resume a queue", body: renaming },
        async (call) => {
          const { name } = await queueOf(store.db, call);
          if (call.body.queue_name !== undefined && call.body.queue_name !== name) {
            throw unsupported("a queue keeps its name: its messages are under it");
          }
          return { result: await change(call, call.body.settings ?? {}) };
        },
      ),
    ),
    endpoint(
      { ...write, method: "delete", path: one, summary: "Delete a queue and its messages" },
      async (call) => {
        const row = await queueOf(store.db, call);
        const target = { type: "queue", target: row.name } as const;
        await removeResource(context, call.caller, row, target);
        await changed(row.accountId);
        return { result: null };
      },
    ),
    endpoint(
      {
        ...write,
        method: "post",
        path: `${one}/purge`,
        summary: "Delete the messages of a queue",
        body: z.object({ delete_messages_permanently: z.literal(true) }),
      },
      async (call) => {
        const row = await queueOf(store.db, call);
        const { accountId, name: id } = row;
        await emptied(context, { accountId, kind: "queue", id });
        await store.write(() =>
          Promise.resolve({ value: null, audit: resourceAudit(call.caller, "purge", row) }),
        );
        return { result: only(await shownAll(store.db, accountId, [row])) };
      },
    ),
    ...queueConsumerEndpoints(context, one, queueOf),
    ...queueMessageEndpoints(context, one, queueOf),
  ];
}

/** @throws Failure `queue_not_found` */
async function queueOf(db: Database, { caller, params }: QueueCall): Promise<ResourceRow> {
  const id = params["queue_id"] ?? "";
  const row = await findResource(db, caller.accountId, "queue", id);
  if (row) return row;
  throw new Failure("queue_not_found", { message: `there is no queue "${id.slice(0, 100)}"` });
}

function refuseRetention<T extends { readonly message_retention_period?: number | undefined }>(
  sent: T,
): T {
  const { message_retention_period: seconds = RETENTION } = sent;
  if (seconds === RETENTION) return sent;
  throw unsupported(`messages are kept for ${RETENTION} seconds (4 days), and not for ${seconds}`);
}

export function unsupported(message: string): Failure {
  return new Failure("feature_unsupported", {
    message,
    facts: { features: ["queues"] },
    fix: "Leave the setting out.",
  });
}

async function shownAll(
  db: Database,
  accountId: string,
  rows: readonly ResourceRow[],
): Promise<readonly object[]> {
  const consumers = await consumersOfAccount(db, accountId);
  const bound = await boundQueues(db, accountId);
  return rows.map((row) => shown(row, consumers, bound.get(row.name) ?? []));
}

function only(shownOnes: readonly object[]): object {
  return shownOnes[0] ?? {};
}

function shown(
  { id, name, settings: kept, createdOn, modifiedOn }: ResourceRow,
  all: readonly FoundConsumer[],
  scripts: readonly string[],
): object {
  const { delivery_delay: delay = 0, delivery_paused: isPaused = false } = kept as QueueSettings;
  const consumers = all.filter(({ queueId }) => queueId === id);
  return {
    queue_id: id,
    queue_name: name,
    created_on: createdOn,
    modified_on: modifiedOn,
    settings: {
      delivery_delay: delay,
      delivery_paused: isPaused,
      message_retention_period: RETENTION,
    },
    producers_total_count: scripts.length,
    producers: scripts.map((script) => ({ type: "worker", script })),
    consumers_total_count: consumers.length,
    consumers: consumers.map((one) => shownConsumer(one, name)),
  };
}
