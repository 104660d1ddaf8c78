import { z } from "@hono/zod-openapi";
import type { StorageRequest } from "../../contract/storage.ts";
import { Failure } from "../../failures/failures.ts";
import type { ResourceRow } from "../../store/schema.ts";
import type { Caller } from "../api/auth.ts";
import type { HeldBytes } from "../api/body-shares.ts";
import { readBytes, readForm } from "../api/body.ts";
import type { ControlContext } from "../api/context.ts";
import { endpoint, type Endpoint } from "../api/endpoint.ts";
import type { Answer } from "../api/envelope.ts";
import { asked, askedToStream, forEach, type WholeAnswer } from "./resource.ts";

interface KvCall {
  readonly caller: Caller;
  readonly params: Readonly<Record<string, string>>;
}

const MEBIBYTE = 1024 * 1024;
/** Bytes of a value with the rest of its form. */
const LARGEST = 26 * MEBIBYTE;
const LARGEST_BULK = 105 * MEBIBYTE;

const key = z.string().min(1).max(512);
const expiry = {
  expiration: z.coerce.number().int().optional(),
  expiration_ttl: z.coerce.number().int().optional(),
};
const pair = z.object({
  key,
  value: z.string(),
  ...expiry,
  metadata: z.unknown().optional(),
  base64: z.boolean().optional(),
});

/** `wrangler kv key` and `wrangler kv bulk`, on the same storage as the Workers' bindings. */
export function kvKeyEndpoints(
  context: ControlContext,
  namespace: string,
  namespaceOf: (call: KvCall) => Promise<ResourceRow>,
): readonly Endpoint[] {
  const read = "workers_scripts:read";
  const write = "workers_scripts:write";
  const value = `${namespace}/values/{key_name}`;
  const bulkDelete = {
    summary: "Delete many keys",
    scope: write,
    body: z.array(key).max(10_000),
    bodyLimit: 8 * MEBIBYTE,
  } as const;
  const bulkDeletes = [
    ["delete", `${namespace}/bulk`],
    ["post", `${namespace}/bulk/delete`],
  ] as const;
  const deleteBulk = async (call: KvCall & { body: readonly string[] }): Promise<Answer> => {
    const row = await namespaceOf(call);
    await forEach(call.body, async (name) => {
      await ask(context, row, { method: "DELETE", path: pathOf(name) });
    });
    return { result: { successful_key_count: call.body.length, unsuccessful_keys: [] } };
  };
  return [
    endpoint(
      {
        method: "get",
        path: `${namespace}/keys`,
        summary: "List keys",
        scope: read,
        query: z.object({
          prefix: z.string().optional(),
          cursor: z.string().optional(),
          limit: z.coerce.number().int().min(1).max(1000).optional(),
        }),
      },
      async (call) => {
        const row = await namespaceOf(call);
        const { prefix = "", cursor = "", limit = 1000 } = call.query;
        const query = new URLSearchParams({ key_count_limit: `${limit}`, prefix, cursor });
        const answer = await ask(context, row, { path: `/?${query.toString()}` });
        const page = JSON.parse(textOf(answer)) as KeyPage;
        const keys = page.keys.map(({ metadata, ...rest }) => ({
          ...rest,
          ...(metadata !== undefined && { metadata: parsed(metadata) }),
        }));
        return { result: keys, resultInfo: { count: keys.length, cursor: page.cursor ?? "" } };
      },
    ),
    endpoint(
      { method: "get", path: value, summary: "A value, as it is", scope: read },
      async (call) => {
        const { accountId, id } = await namespaceOf(call);
        const path = pathOf(keyOf(call));
        const answer = await askedToStream(context, { accountId, kind: "kv", id, path });
        if (answer.status !== 200) {
          await answer.body[Symbol.asyncIterator]().return?.();
          if (answer.status === 404) throw notThere(call);
          throw refused(answer);
        }
        return new Response(ReadableStream.from(answer.body), {
          headers: { "content-type": "application/octet-stream" },
        });
      },
    ),
    endpoint(
      {
        method: "get",
        path: `${namespace}/metadata/{key_name}`,
        summary: "The metadata of a value",
        scope: read,
      },
      async (call) => {
        const answer = await ask(context, await namespaceOf(call), { path: pathOf(keyOf(call)) });
        if (answer.status === 404) throw notThere(call);
        const metadata = answer.headers.get("cf-kv-metadata");
        return { result: metadata === null ? null : parsed(metadata) };
      },
    ),
    endpoint(
      {
        method: "put",
        path: value,
        summary: "Write a value, with metadata in a form",
        scope: write,
        query: z.object(expiry),
      },
      async (call) => {
        const row = await namespaceOf(call);
        const { body, metadata } = await sent(call);
        await put(context, row, { key: keyOf(call), body, metadata, ...call.query });
        return { result: {} };
      },
    ),
    endpoint(
      { method: "delete", path: value, summary: "Delete a key", scope: write },
      async (call) => {
        await ask(context, await namespaceOf(call), {
          method: "DELETE",
          path: pathOf(keyOf(call)),
        });
        return { result: {} };
      },
    ),
    endpoint(
      {
        method: "put",
        path: `${namespace}/bulk`,
        summary: "Write many values",
        scope: write,
        body: z.array(pair).max(10_000),
        bodyLimit: LARGEST_BULK,
      },
      async (call) => {
        const row = await namespaceOf(call);
        await forEach(call.body, async ({ value: text, base64, metadata, ...rest }) => {
          const body = Buffer.from(text, base64 === true ? "base64" : "utf8");
          const meta = metadata === undefined ? null : JSON.stringify(metadata);
          await put(context, row, { ...rest, body, metadata: meta });
        });
        return { result: { successful_key_count: call.body.length, unsuccessful_keys: [] } };
      },
    ),
    ...bulkDeletes.map(([method, path]) => endpoint({ ...bulkDelete, method, path }, deleteBulk)),
    endpoint(
      {
        method: "post",
        path: `${namespace}/bulk/get`,
        summary: "Read many values",
        scope: read,
        body: z.object({
          keys: z.array(key).min(1).max(100),
          type: z.enum(["text", "json"]).optional(),
          withMetadata: z.boolean().optional(),
        }),
      },
      async (call) => {
        const answer = await ask(context, await namespaceOf(call), {
          method: "POST",
          path: "/bulk/get",
          body: JSON.stringify(call.body),
        });
        return { result: { values: JSON.parse(textOf(answer)) } };
      },
    ),
  ];
}

interface KeyPage {
  readonly keys: readonly {
    readonly name: string;
    readonly expiration?: number;
    readonly metadata?: string;
  }[];
  readonly cursor?: string;
}

interface Put {
  readonly key: string;
  readonly body: Uint8Array;
  /** JSON. */
  readonly metadata: string | null;
  readonly expiration?: number | undefined;
  readonly expiration_ttl?: number | undefined;
}

async function put(
  context: ControlContext,
  row: ResourceRow,
  { key: name, body, metadata, expiration, expiration_ttl: ttl }: Put,
): Promise<void> {
  const query = new URLSearchParams({
    ...(expiration !== undefined && { expiration: `${expiration}` }),
    ...(ttl !== undefined && { expiration_ttl: `${ttl}` }),
  });
  await ask(context, row, {
    method: "PUT",
    path: `${pathOf(name)}?${query.toString()}`,
    body,
    ...(metadata !== null && { headers: { "cf-kv-metadata": asHeader(metadata) } }),
  });
}

/** The body of a PUT: the value, or a form with the value and its metadata. */
async function sent({
  request,
  held,
}: {
  readonly request: Request;
  readonly held: HeldBytes;
}): Promise<{ readonly body: Uint8Array; readonly metadata: string | null }> {
  const bounds = { limit: LARGEST, held };
  if (!/^multipart\/form-data/i.test(request.headers.get("content-type") ?? "")) {
    return { body: await readBytes(request, bounds), metadata: null };
  }
  const form = await readForm(request, bounds);
  const value = form.get("value");
  const metadata = form.get("metadata");
  if (value === null) {
    throw new Failure("request_invalid", { message: 'the form has no part "value"' });
  }
  const text = metadata instanceof File ? await metadata.text() : metadata;
  // Re-encoded as JSON, without characters that a header may not contain.
  const json = text === null ? null : JSON.stringify(parsed(text));
  const body = value instanceof File ? await value.bytes() : Buffer.from(value);
  return { body, metadata: json === "null" ? null : json };
}

/** JSON without characters that a header may not contain. */
function asHeader(json: string): string {
  return json.replaceAll(
    /[^\x20-\x7e]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/** @throws Failure `storage_refused` with the storage's message, except for 404 */
async function ask(
  context: ControlContext,
  { accountId, id }: ResourceRow,
  request: Pick<StorageRequest, "method" | "path" | "headers" | "body">,
): Promise<WholeAnswer> {
  const answer = await asked(context, { accountId, kind: "kv", id, ...request });
  if (answer.status < 400 || answer.status === 404) return answer;
  throw refused(answer);
}

function refused({ status, statusText }: Pick<WholeAnswer, "status" | "statusText">): Failure {
  const why = statusText === "" ? `status ${status}` : statusText;
  return new Failure(status < 500 ? "storage_refused" : "storage_unavailable", {
    message: `KV refused the request: ${why.replace(/\.$/, "")}`,
  });
}

function pathOf(name: string): string {
  return `/${encodeURIComponent(name)}`;
}

function keyOf({ params }: KvCall): string {
  return params["key_name"] ?? "";
}

function notThere(call: KvCall): Failure {
  return new Failure("kv_key_not_found", {
    message: `there is no key "${keyOf(call).slice(0, 200)}"`,
  });
}

function textOf({ body }: WholeAnswer): string {
  return Buffer.from(body).toString();
}

function parsed(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    return json;
  }
}
