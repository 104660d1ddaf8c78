import { z } from "@hono/zod-openapi";
import type { StorageRequest } from "../../contract/storage.ts";
import { Failure } from "../../failures/failures.ts";
import type { Database } from "../../store/database.ts";
import type { ResourceRow } from "../../store/schema.ts";
import type { ControlContext } from "../api/context.ts";
import { endpoint, type Endpoint } from "../api/endpoint.ts";
import type { Answer } from "../api/envelope.ts";
import type { QueueCall } from "./queue-consumers.ts";
import { asked } from "./resource.ts";

/** Bytes of JSON: 256 KB of messages, six times as long if every character is escaped. */
const LARGEST_BATCH = 2 * 1024 * 1024;

const delay = z.number().int().min(0).max(86_400).optional();

/** JSON is the default content type, as at Cloudflare. */
const message = z
  .object({
    body: z.unknown().optional(),
    content_type: z
      .enum(["text", "json"], "is not text or json, the content types of messages over HTTP")
      .default("json"),
    delay_seconds: delay,
  })
  .refine(({ body }) => body !== undefined, { path: ["body"], message: "is missing" })
  .refine((one) => one.content_type === "json" || typeof one.body === "string", {
    path: ["body"],
    message: "is not a string, as a message of content_type text is",
  });

type Message = z.output<typeof message>;

/** Sending to queues, for programs that are not Workers. @param find @throws Failure `queue_not_found` */
export function queueMessageEndpoints(
  context: ControlContext,
  queue: string,
  find: (db: Database, call: QueueCall) => Promise<ResourceRow>,
): readonly Endpoint[] {
  const path = `${queue}/messages`;
  const write = { scope: "workers_scripts:write", method: "post" } as const;
  const { db } = context.store;
  return [
    endpoint(
      { ...write, path, summary: "Send a message to a queue", body: message },
      async (call) => {
        const { body } = call;
        return sent(context, await find(db, call), {
          path: "/message",
          headers: { "x-msg-fmt": body.content_type, ...delayed(body.delay_seconds) },
          body: bytesOf(body),
        });
      },
    ),
    endpoint(
      {
        ...write,
        path: `${path}/batch`,
        summary: "Send messages to a queue: all of them, or none",
        body: z.object({ messages: z.array(message).min(1), delay_seconds: delay }),
        bodyLimit: LARGEST_BATCH,
      },
      async (call) => {
        const messages = call.body.messages.map((one) => ({
          body: bytesOf(one).toString("base64"),
          contentType: one.content_type,
          ...(one.delay_seconds !== undefined && { delaySecs: one.delay_seconds }),
        }));
        return sent(context, await find(db, call), {
          path: "/batch",
          headers: delayed(call.body.delay_seconds),
          body: JSON.stringify({ messages }),
        });
      },
    ),
    ...["pull", "ack", "peek", "purge"].map((what) =>
      endpoint(
        { ...write, path: `${path}/${what}`, summary: "Messages read over HTTP: refused" },
        async (call) => {
          await find(db, call);
          throw new Failure("queue_pull_unsupported");
        },
      ),
    ),
  ];
}

interface Metrics {
  readonly backlogCount: number;
  readonly backlogBytes: number;
  /** ms since 1970; 0: the queue is empty. */
  readonly oldestMessageTimestamp: number;
}

/**
 * Makes the same request of the same process as a Worker's binding. An acknowledged message is on the disk.
 *
 * @throws Failure `queue_message_too_large`, `queue_full`, `storage_unavailable`
 */
export async function sent(
  context: Pick<ControlContext, "edge" | "bodies">,
  { accountId, name }: Pick<ResourceRow, "accountId" | "name">,
  request: Pick<StorageRequest, "path" | "headers" | "body">,
): Promise<Answer> {
  const at = { accountId, kind: "queue", id: name, method: "POST" } as const;
  const { status, body } = await asked(context, { ...at, ...request });
  const text = Buffer.from(body).toString();
  if (status === 413) {
    const why = String(JSON.parse(text));
    throw new Failure("queue_message_too_large", {
      message: `the queue "${name}" refused: ${why}`,
    });
  }
  if (status === 429) {
    throw new Failure("queue_full", { message: `the queue "${name}" takes no more messages` });
  }
  if (status !== 200) {
    throw new Failure("storage_unavailable", {
      message: `the queue "${name}" answered ${status} to a message`,
    });
  }
  const { metrics } = (JSON.parse(text) as { metadata: { metrics: Metrics } }).metadata;
  return {
    result: {
      metadata: {
        metrics: {
          backlog_count: metrics.backlogCount,
          backlog_bytes: metrics.backlogBytes,
          oldest_message_timestamp_ms: metrics.oldestMessageTimestamp,
        },
      },
    },
  };
}

/** Without a delay of its own, a message gets the queue's. */
function delayed(seconds: number | undefined): Record<string, string> {
  return seconds === undefined ? {} : { "x-msg-delay-secs": String(seconds) };
}

function bytesOf({ body, content_type: type }: Message): Buffer {
  return Buffer.from(type === "text" ? (body as string) : JSON.stringify(body));
}
