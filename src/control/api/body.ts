import type { IncomingMessage } from "node:http";
import { Failure } from "../../failures/failures.ts";
import { parseSentJson } from "../../keys/json-text.ts";
import type { HeldBytes } from "./body-shares.ts";

/** Limits for reading one body. */
export interface BodyBounds {
  /** In bytes; a longer body is refused without being read to its end. */
  readonly limit: number;
  /** Counts the bytes that are read. */
  readonly held: HeldBytes;
}

/**
 * Reads a JSON body, whatever its Content-Type is (wrangler sends certificates as text/plain).
 *
 * @param mayBeMissing then a missing body gives undefined
 * @throws Failure `body_too_large`, `api_bytes_exhausted`, `body_not_json`, `text_not_unicode`, `json_too_deep`
 */
export async function readJson(
  request: Request,
  bounds: BodyBounds,
  mayBeMissing = false,
): Promise<unknown> {
  const text = await limited(request, bounds).text().catch(asAborted);
  if (mayBeMissing && text === "") return undefined;
  try {
    return parseSentJson(text);
  } catch (error) {
    throw error instanceof Failure ? error : new Failure("body_not_json");
  }
}

/** Reads a body as bytes. @throws Failure `body_too_large`, `api_bytes_exhausted` */
export async function readBytes(request: Request, bounds: BodyBounds): Promise<Uint8Array> {
  return new Uint8Array(await limited(request, bounds).arrayBuffer().catch(asAborted));
}

/** The parts of a body, as they arrive. @throws Failure `body_too_large`, `api_bytes_exhausted`, `request_aborted` */
export async function* readPieces(
  request: Request,
  bounds: BodyBounds,
): AsyncGenerator<Uint8Array> {
  try {
    yield* limited(request, bounds).body ?? [];
  } catch (error) {
    asAborted(error);
  }
}

/**
 * The chunks of a body, as they arrive. They are the only copies: wiping the chunks wipes the body.
 *
 * @param incoming Null: the request did not come over a connection
 * @throws Failure `body_too_large`, `api_bytes_exhausted`, `request_aborted`, while it is read
 */
export async function* readChunks(
  request: Request,
  incoming: IncomingMessage | null,
  { limit, held }: BodyBounds,
): AsyncGenerator<Uint8Array> {
  if ((announcedLength(request) ?? 0) > limit) throw tooLarge(limit);
  // A refusal has to be answered on this connection, so the iterator must not close it.
  const source = incoming?.iterator({ destroyOnReturn: false }) ?? request.body ?? [];
  let seen = 0;
  try {
    for await (const chunk of source as AsyncIterable<Uint8Array>) {
      seen += chunk.byteLength;
      if (seen > limit) throw tooLarge(limit);
      held.add(chunk.byteLength);
      yield chunk;
    }
  } catch (error) {
    asAborted(error);
  }
}

/**
 * Reads a multipart form.
 *
 * @throws Failure `body_too_large`, `api_bytes_exhausted`, `body_not_multipart`
 */
export async function readForm(request: Request, bounds: BodyBounds): Promise<FormData> {
  assertForm(request);
  const body = Buffer.from(await limited(request, bounds).arrayBuffer().catch(asAborted));
  return await formIn(body, formType(request, body));
}

/** Checks the request's head, before the body is read. @throws Failure `body_not_multipart` */
export function assertForm(request: Request): void {
  const declared = declaredType(request);
  if (!IS_FORM.test(declared) && !MISLABELLED.test(declared)) throw notMultipart(declared);
}

/** The Content-Type, with its boundary. @throws Failure `body_not_multipart`, `too_many_parts` */
export function formType(request: Request, body: Buffer): string {
  const declared = declaredType(request);
  const type = IS_FORM.test(declared) ? declared : labelled(body);
  if (type === null) throw notMultipart(declared);
  assertParts(body, type);
  return type;
}

/** @throws Failure `body_not_multipart` */
export async function formIn(body: Buffer<ArrayBuffer>, type: string): Promise<FormData> {
  try {
    return await new Response(body, { headers: { "content-type": type } }).formData();
  } catch {
    throw new Failure("body_not_multipart", { message: "the multipart body is malformed" });
  }
}

function declaredType(request: Request): string {
  return request.headers.get("content-type") ?? "";
}

const IS_FORM = /^multipart\/form-data/i;

/** The Content-Type that the npm SDK gives a form in which it uploads a script (cloudflare-typescript #2799). */
const MISLABELLED = /^(application|text)\/javascript\b/i;

/** The Content-Type that the form should have had, derived from its first line. Null: it is not a form. */
function labelled(body: Buffer): string | null {
  const start = body.subarray(0, 200).toString("latin1");
  const boundary = /^--([\w'()+,./:=?-]{1,70})\r\ncontent-disposition: form-data;/i.exec(
    start,
  )?.[1];
  return boundary === undefined ? null : `multipart/form-data; boundary="${boundary}"`;
}

function notMultipart(type: string): Failure {
  return new Failure("body_not_multipart", {
    message: `the body is "${type.slice(0, 100)}" where multipart/form-data is needed`,
  });
}

/** How many bytes the body has according to the request's head. Null: it does not say. */
export function announcedLength({ headers }: Request): number | null {
  const said = headers.get("content-length") ?? "";
  return /^\d{1,15}$/.test(said) ? Number(said) : null;
}

/** Each part costs work, even an empty one. */
const MOST_PARTS = 1000;

export function boundaryOf(type: string): string | undefined {
  const [, quoted, bare] = /;\s*boundary=(?:"([^"]+)"|([^;\s]+))/i.exec(type) ?? [];
  return quoted ?? bare;
}

/** Bytes of the heads of all parts together. Wrangler sends some hundred for each; the parser takes seconds for 64 MiB. */
const MOST_HEADS = 1024 * 1024;
const BLANK = Buffer.from("\r\n\r\n");

/** Looks at the parts before they are parsed. @throws Failure `too_many_parts`, `body_not_multipart` */
function assertParts(body: Buffer, type: string): void {
  const boundary = boundaryOf(type);
  if (boundary === undefined) return;
  // A boundary within a line is content. It is not looked for: there could be one at every byte.
  const delimiter = Buffer.from(`\n--${boundary}`);
  const begins = body.subarray(0, delimiter.length - 1).equals(delimiter.subarray(1));
  let at = begins ? -1 : body.indexOf(delimiter);
  if (!begins && at === -1) return;
  let left = MOST_HEADS;
  for (let parts = 0; parts <= MOST_PARTS; parts += 1) {
    const start = at + delimiter.length;
    const length = body.subarray(start, start + left).indexOf(BLANK);
    const isLast = body.toString("latin1", start, start + 2) === "--";
    if (length === -1 && !isLast && start + left < body.length) throw largeHeads();
    left -= Math.max(length, 0);
    at = body.indexOf(delimiter, start);
    if (at === -1) return;
  }
  throw new Failure("too_many_parts", {
    message: `the form has more than the ${MOST_PARTS} parts that an upload may have`,
    facts: { limit: MOST_PARTS },
  });
}

function largeHeads(): Failure {
  return new Failure("body_not_multipart", {
    message: `the heads of the form's parts are larger than ${MOST_HEADS / 1024 / 1024} MiB together`,
    facts: { limitBytes: MOST_HEADS },
  });
}

function limited(request: Request, { limit, held }: BodyBounds): Response {
  const announced = Number(request.headers.get("content-length") ?? 0);
  if (announced > limit) throw tooLarge(limit);
  // The announced length is counted at once, so a call that was admitted can also finish.
  held.add(announced);
  let seen = 0;
  const counter = new TransformStream<Uint8Array, Uint8Array>({
    transform: (chunk, controller) => {
      seen += chunk.byteLength;
      if (seen > limit) throw tooLarge(limit);
      if (seen > announced) held.add(chunk.byteLength);
      controller.enqueue(chunk);
    },
  });
  return new Response(request.body?.pipeThrough(counter) ?? null);
}

function tooLarge(limit: number): Failure {
  return new Failure("body_too_large", {
    message: `the body is larger than the ${limit / 1024 / 1024} MiB that this endpoint takes`,
    facts: { limitBytes: limit },
  });
}

function asAborted(error: unknown): never {
  if (error instanceof Failure) throw error;
  throw new Failure("request_aborted", { cause: error });
}
