import { Failure } from "../../failures/failures.ts";
import type { ResourceRow } from "../../store/schema.ts";
import type { ControlContext } from "../api/context.ts";
import { asked, askedToStream } from "./resource.ts";

/** An object in the form of the protocol of R2 bindings. */
export interface R2Object {
  readonly name: string;
  readonly size: number | string;
  readonly etag: string;
  /** Unix time in ms. */
  readonly uploaded: number | string;
  readonly httpFields?: { readonly contentType?: string };
  readonly customFields?: readonly { readonly k: string; readonly v: string }[];
}

interface BucketAnswer {
  /** In the answer about one object. */
  readonly object: R2Object;
  /** In the answer to a list. */
  readonly objects: readonly R2Object[];
  readonly truncated: boolean;
  readonly cursor?: string;
  readonly delimitedPrefixes: readonly string[];
}

/** The bytes of an object. */
export interface Value {
  readonly length: number;
  readonly bytes: Uint8Array | AsyncIterable<Uint8Array>;
}

/**
 * Sends a request to a bucket in the form of a Worker's binding: JSON that describes the request, before the object's
 * bytes.
 * @param value absent: the request changes nothing
 * @throws Failure `r2_object_not_found`, `storage_refused`
 */
export async function askBucket(
  context: ControlContext,
  { accountId, name }: ResourceRow,
  what: Readonly<Record<string, unknown>>,
  value?: Value,
): Promise<BucketAnswer> {
  const said = JSON.stringify({ version: 1, ...what });
  const answer = await asked(context, {
    accountId,
    kind: "r2",
    id: name,
    ...(value === undefined
      ? { headers: { "cf-r2-request": ascii(said) } }
      : {
          method: "PUT" as const,
          headers: {
            "cf-r2-metadata-size": `${Buffer.byteLength(said)}`,
            "content-length": `${Buffer.byteLength(said) + value.length}`,
          },
          body: joined(Buffer.from(said), value.bytes),
        }),
  });
  if (answer.status >= 400) throw refused(answer.status, answer.headers, what);
  const size = Number(answer.headers.get("cf-r2-metadata-size") ?? 0);
  const metadata = Buffer.from(answer.body.subarray(0, size)).toString();
  const read = (metadata === "" ? {} : JSON.parse(metadata)) as Partial<BucketAnswer>;
  return {
    object: read as R2Object,
    objects: read.objects ?? [],
    truncated: read.truncated ?? false,
    delimitedPrefixes: read.delimitedPrefixes ?? [],
    ...(read.cursor !== undefined && { cursor: read.cursor }),
  };
}

/**
 * Opens an object. Its bytes are read only as fast as the caller takes them.
 * @throws Failure `r2_object_not_found`, `storage_refused`
 */
export async function openObject(
  context: ControlContext,
  { accountId, name }: ResourceRow,
  object: string,
): Promise<{ readonly object: R2Object; readonly value: AsyncIterable<Uint8Array> }> {
  const what = { method: "get", object };
  const said = ascii(JSON.stringify({ version: 1, ...what }));
  const headers = { "cf-r2-request": said };
  const answer = await askedToStream(context, { accountId, kind: "r2", id: name, headers });
  const chunks = answer.body[Symbol.asyncIterator]();
  if (answer.status >= 400) {
    await chunks.return?.();
    throw refused(answer.status, answer.headers, what);
  }
  const size = Number(answer.headers.get("cf-r2-metadata-size") ?? 0);
  let head = Buffer.alloc(0);
  while (head.byteLength < size) {
    const next = await chunks.next();
    if (next.done === true) throw new Failure("storage_unavailable");
    head = Buffer.concat([head, next.value]);
  }
  const metadata = JSON.parse(head.subarray(0, size).toString()) as R2Object;
  const rest = { [Symbol.asyncIterator]: () => chunks };
  return { object: metadata, value: after(head.subarray(size), rest) };
}

function joined(
  said: Uint8Array,
  bytes: Uint8Array | AsyncIterable<Uint8Array>,
): Uint8Array | AsyncIterable<Uint8Array> {
  return bytes instanceof Uint8Array ? Buffer.concat([said, bytes]) : after(said, bytes);
}

async function* after(
  first: Uint8Array,
  rest: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  if (first.byteLength > 0) yield first;
  yield* rest;
}

function refused(
  status: number,
  headers: Headers,
  { object }: Readonly<Record<string, unknown>>,
): Failure {
  if (status === 404) {
    return new Failure("r2_object_not_found", {
      message: `there is no object "${String(object).slice(0, 200)}"`,
    });
  }
  const error = headers.get("cf-r2-error");
  const { message = `status ${status}` } = JSON.parse(error ?? "{}") as { message?: string };
  return new Failure(status < 500 ? "storage_refused" : "storage_unavailable", {
    message: `R2 refused the request: ${message.replace(/\.$/, "")}`,
  });
}

function ascii(json: string): string {
  return json.replaceAll(
    /[^\x20-\x7e]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}
