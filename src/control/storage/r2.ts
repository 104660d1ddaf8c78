import { z } from "@hono/zod-openapi";
import { Failure } from "../../failures/failures.ts";
import { findResourceByName, listResources, updateResource } from "../../store/resources.ts";
import type { ResourceRow } from "../../store/schema.ts";
import type { Caller } from "../api/auth.ts";
import type { Call } from "../api/endpoint.ts";
import { uncounted } from "../api/body-shares.ts";
import { announcedLength, readBytes, readChunks } from "../api/body.ts";
import type { ControlContext } from "../api/context.ts";
import { oneLine } from "../api/text.ts";
import { endpoint, type Endpoint } from "../api/endpoint.ts";
import { askBucket, openObject, type R2Object, type Value } from "./r2-protocol.ts";
import { resourceAudit, makeEmptied, removeResource } from "./resource.ts";

/** Cloudflare's rule for names of buckets. */
const bucketName = z.string().regex(/^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$/);
/** Bytes of an object that is written through the API. Workers write larger ones in parts. */
const LARGEST = 315 * 1024 * 1024;
const STANDARD = "Standard";

interface R2Call {
  readonly caller: Caller;
  readonly params: Readonly<Record<string, string>>;
}

/** `wrangler r2 bucket` and `wrangler r2 object`. */
export function r2Endpoints(context: ControlContext): readonly Endpoint[] {
  const { store, clock } = context;
  const path = "/accounts/{account_id}/r2/buckets";
  const one = `${path}/{bucket_name}`;
  const read = "workers_scripts:read";
  const write = "workers_scripts:write";
  const find = (call: R2Call): Promise<ResourceRow> => bucketOf(context, call);
  return [
    endpoint(
      {
        method: "get",
        path,
        summary: "List R2 buckets",
        scope: read,
        query: z.object({ name_contains: z.string().optional() }),
      },
      async ({ caller, query }) => {
        const { name_contains: part = "" } = query;
        const all = await listResources(store.db, caller.accountId, "r2");
        return { result: { buckets: all.filter(({ name }) => name.includes(part)).map(shown) } };
      },
    ),
    endpoint(
      {
        method: "post",
        path,
        summary: "Make an R2 bucket",
        scope: write,
        body: z.object({
          name: bucketName,
          storageClass: oneLine.max(100).optional(),
          locationHint: oneLine.optional(),
        }),
      },
      async ({ caller, body: { name, storageClass = STANDARD } }) => {
        const exists = "r2_bucket_exists";
        const made = { kind: "r2", name, exists, settings: { storageClass } } as const;
        return { result: shown(await makeEmptied(context, caller, made)) };
      },
    ),
    endpoint({ method: "get", path: one, summary: "One R2 bucket", scope: read }, async (call) => ({
      result: shown(await find(call)),
    })),
    endpoint(
      {
        method: "patch",
        path: one,
        summary: "Change the storage class of a bucket: a name, here",
        scope: write,
      },
      async (call) => {
        const row = await find(call);
        const storageClass = call.request.headers.get("cf-r2-storage-class") ?? STANDARD;
        const settings = { storageClass: storageClass.slice(0, 100) };
        await store.write(async ({ db }) => {
          await updateResource(db, row, { settings, modifiedOn: clock().toISOString() });
          return { value: null, audit: resourceAudit(call.caller, "change", row) };
        });
        return { result: shown({ ...row, settings }) };
      },
    ),
    endpoint(
      { method: "delete", path: one, summary: "Delete an empty R2 bucket", scope: write },
      async (call) => {
        const row = await find(call);
        const { objects } = await askBucket(context, row, { method: "list", limit: 1 });
        if (objects.length > 0) {
          throw new Failure("r2_bucket_not_empty", {
            message: `the bucket "${row.name}" is not empty`,
          });
        }
        await removeResource(context, call.caller, row, { type: "r2_bucket", target: row.name });
        return { result: {} };
      },
    ),
    endpoint(
      {
        method: "get",
        path: `${one}/objects`,
        summary: "List objects",
        scope: read,
        query: z.object({
          prefix: z.string().optional(),
          cursor: z.string().optional(),
          delimiter: z.string().optional(),
          start_after: z.string().optional(),
          per_page: z.coerce.number().int().min(1).max(1000).optional(),
        }),
      },
      async (call) => {
        const { prefix, cursor, delimiter, start_after: startAfter, per_page: limit } = call.query;
        const page = await askBucket(context, await find(call), {
          method: "list",
          include: [0, 1],
          limit: limit ?? 1000,
          ...(prefix !== undefined && { prefix }),
          ...(cursor !== undefined && { cursor }),
          ...(delimiter !== undefined && { delimiter }),
          ...(startAfter !== undefined && { startAfter }),
        });
        return {
          result: page.objects.map(shownObject),
          resultInfo: {
            cursor: page.cursor ?? "",
            is_truncated: page.truncated,
            delimited: page.delimitedPrefixes,
          },
        };
      },
    ),
    endpoint(
      { method: "get", path: `${one}/objects/{object_key}`, summary: "An object", scope: read },
      async (call) => {
        const object = keyOf(call);
        const { object: found, value } = await openObject(context, await find(call), object);
        const { contentType = "application/octet-stream" } = found.httpFields ?? {};
        const headers = { "content-type": contentType, etag: `"${found.etag}"` };
        return new Response(ReadableStream.from(value), { headers });
      },
    ),
    endpoint(
      {
        method: "put",
        path: `${one}/objects/{object_key}`,
        summary: "Write an object",
        scope: write,
      },
      async (call) => {
        const row = await find(call);
        const value = await valueOf(call);
        const put = { method: "put", object: keyOf(call), httpFields: httpFields(call.request) };
        const { object } = await askBucket(context, row, put, value);
        return { result: shownObject(object) };
      },
    ),
    endpoint(
      {
        method: "delete",
        path: `${one}/objects/{object_key}`,
        summary: "Delete an object",
        scope: write,
      },
      async (call) => {
        const object = keyOf(call);
        await askBucket(context, await find(call), { method: "delete", object }, nothing);
        return { result: { key: object } };
      },
    ),
  ];
}

/** @throws Failure `r2_bucket_not_found` */
async function bucketOf(
  { store }: ControlContext,
  { caller, params }: R2Call,
): Promise<ResourceRow> {
  const name = params["bucket_name"] ?? "";
  const row = await findResourceByName(store.db, caller.accountId, "r2", name);
  if (row) return row;
  throw new Failure("r2_bucket_not_found", {
    message: `the bucket "${name.slice(0, 100)}" does not exist`,
  });
}

const nothing: Value = { length: 0, bytes: new Uint8Array() };

/** Bytes. A smaller object is held in memory, so it can be sent again if a connection ends. */
const SMALL = 1024 * 1024;

/**
 * The object that the client sends. It is passed on as a stream, unless it is small or its length is not known before
 * its end.
 */
async function valueOf({
  request,
  incoming,
  held,
}: Pick<Call<undefined, undefined>, "request" | "incoming" | "held">): Promise<Value> {
  const length = announcedLength(request);
  if (length !== null && length > SMALL) {
    return { length, bytes: readChunks(request, incoming, { limit: LARGEST, held: uncounted }) };
  }
  const bytes = await readBytes(request, { limit: LARGEST, held });
  return { length: bytes.byteLength, bytes };
}

function keyOf({ params }: R2Call): string {
  return params["object_key"] ?? "";
}

function httpFields({ headers }: Request): Readonly<Record<string, string | number>> {
  const named = {
    contentType: "content-type",
    contentLanguage: "content-language",
    contentDisposition: "content-disposition",
    contentEncoding: "content-encoding",
    cacheControl: "cache-control",
  };
  const fields = Object.entries(named).flatMap(([field, header]) => {
    const value = headers.get(header);
    return value === null ? [] : [[field, value]];
  });
  const expires = Date.parse(headers.get("expires") ?? "");
  return {
    ...(Object.fromEntries(fields) as Record<string, string>),
    ...(!Number.isNaN(expires) && { cacheExpiry: expires }),
  };
}

function shown({ name, createdOn, settings }: ResourceRow): object {
  const { storageClass } = settings as { storageClass?: string };
  return {
    name,
    creation_date: createdOn,
    location: "local",
    jurisdiction: "default",
    storage_class: storageClass ?? STANDARD,
  };
}

function shownObject({
  name,
  size,
  etag,
  uploaded,
  httpFields: http,
  customFields,
}: R2Object): object {
  return {
    key: name,
    size: Number(size),
    etag,
    last_modified: new Date(Number(uploaded)).toISOString(),
    http_metadata: http ?? {},
    custom_metadata: Object.fromEntries(customFields?.map(({ k, v }) => [k, v]) ?? []),
    storage_class: STANDARD,
  };
}
