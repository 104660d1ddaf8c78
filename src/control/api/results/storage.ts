import { z } from "@hono/zod-openapi";
import { count, crud, flag, type Results, text, texts, time } from "./common.ts";

const namespace = z
  .object({ id: text, title: text, supports_url_encoding: flag })
  .openapi("KvNamespace");

const written = z
  .object({ successful_key_count: count, unsuccessful_keys: texts })
  .openapi("KvBulkResult");

const kvKey = z
  .object({ name: text, expiration: count.optional(), metadata: z.unknown().optional() })
  .openapi("KvKey");

const database = z
  .object({
    uuid: text,
    name: text,
    version: text,
    created_at: time,
    read_replication: z.object({ mode: text }),
    file_size: count.optional(),
    num_tables: count.optional(),
  })
  .openapi("D1Database");

const meta = z.record(z.string(), z.unknown());
const rows = z.array(z.record(z.string(), z.unknown()));
const lists = z.object({ columns: texts, rows: z.array(z.array(z.unknown())) });
const answered = (results: z.ZodType): z.ZodType =>
  z.array(z.object({ success: flag, results, meta }));

const transfer = z
  .object({
    success: flag,
    type: text,
    status: text.optional(),
    at_bookmark: text,
    messages: texts,
    upload_url: text.optional(),
    filename: text.optional(),
    result: z.record(z.string(), z.unknown()).optional(),
  })
  .openapi("D1Transfer");

const bucket = z
  .object({
    name: text,
    creation_date: time,
    location: text,
    jurisdiction: text,
    storage_class: text,
  })
  .openapi("R2Bucket");

const object = z
  .object({
    key: text,
    size: count,
    etag: text,
    last_modified: time,
    http_metadata: meta,
    custom_metadata: meta,
    storage_class: text,
  })
  .openapi("R2Object");

const consumer = z
  .object({
    consumer_id: text,
    type: text,
    queue_name: text,
    script: text,
    script_name: text,
    created_on: time,
    dead_letter_queue: text.optional(),
    settings: meta,
  })
  .openapi("QueueConsumer");

const queue = z
  .object({
    queue_id: text,
    queue_name: text,
    created_on: time,
    modified_on: time,
    settings: meta,
    producers_total_count: count,
    producers: z.array(z.object({ type: text, script: text })),
    consumers_total_count: count,
    consumers: z.array(consumer),
  })
  .openapi("Queue");

const backlog = z
  .object({
    metadata: z.object({
      metrics: z.object({
        backlog_count: count,
        backlog_bytes: count,
        oldest_message_timestamp_ms: count,
      }),
    }),
  })
  .openapi("QueueBacklog");

const account = "/accounts/{account_id}";
const kv = `${account}/storage/kv/namespaces`;
const oneKv = `${kv}/{namespace_id}`;
const d1 = `${account}/d1/database`;
const oneD1 = `${d1}/{database_id}`;
const r2 = `${account}/r2/buckets`;
const queues = `${account}/queues`;
const oneQueue = `${queues}/{queue_id}`;
const oneR2 = `${r2}/{bucket_name}`;

/** Where Workers store data. */
export const storageResults: Results = {
  ...crud(kv, namespace, "GET* POST* GET PUT", "namespace_id"),
  [`DELETE ${oneKv}`]: z.null(),
  [`GET ${oneKv}/keys`]: z.array(kvKey),
  [`GET ${oneKv}/metadata/{key_name}`]: z.unknown(),
  [`PUT ${oneKv}/values/{key_name}`]: z.object({}),
  [`DELETE ${oneKv}/values/{key_name}`]: z.object({}),
  [`PUT ${oneKv}/bulk`]: written,
  [`DELETE ${oneKv}/bulk`]: written,
  [`POST ${oneKv}/bulk/delete`]: written,
  [`POST ${oneKv}/bulk/get`]: z.object({ values: z.record(z.string(), z.unknown()) }),
  ...crud(d1, database, "GET* POST* GET PUT PATCH", "database_id"),
  [`DELETE ${oneD1}`]: z.null(),
  [`GET ${account}/containers/applications`]: z.array(z.unknown()),
  [`POST ${oneD1}/query`]: answered(rows),
  [`POST ${oneD1}/raw`]: answered(lists),
  [`POST ${oneD1}/import`]: transfer,
  [`POST ${oneD1}/export`]: transfer,
  [`GET ${oneD1}/time_travel/bookmark`]: z.null(),
  [`POST ${oneD1}/time_travel/restore`]: z.null(),
  [`GET ${r2}`]: z.object({ buckets: z.array(bucket) }),
  [`POST ${r2}`]: bucket,
  [`GET ${oneR2}`]: bucket,
  [`PATCH ${oneR2}`]: bucket,
  [`DELETE ${oneR2}`]: z.object({}),
  [`GET ${oneR2}/objects`]: z.array(object),
  [`PUT ${oneR2}/objects/{object_key}`]: object,
  [`DELETE ${oneR2}/objects/{object_key}`]: z.object({ key: text }),
  ...crud(queues, queue, "GET* POST* GET PUT PATCH", "queue_id"),
  [`DELETE ${oneQueue}`]: z.null(),
  [`POST ${oneQueue}/purge`]: queue,
  [`POST ${oneQueue}/messages`]: backlog,
  [`POST ${oneQueue}/messages/batch`]: backlog,
  [`POST ${oneQueue}/messages/pull`]: z.null(),
  [`POST ${oneQueue}/messages/ack`]: z.null(),
  [`POST ${oneQueue}/messages/peek`]: z.null(),
  [`POST ${oneQueue}/messages/purge`]: z.null(),
  ...crud(`${oneQueue}/consumers`, consumer, "GET* POST* GET PUT", "consumer_id"),
  [`DELETE ${oneQueue}/consumers/{consumer_id}`]: z.null(),
  "POST /graphql": z.null(),
};
