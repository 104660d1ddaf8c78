import type { IncomingMessage } from "node:http";
import type { MakeTransform } from "../forward/target.ts";
import { createBrotliDecompress, createGunzip } from "node:zlib";

/**
 * Decompresses a response whose compression the client did not accept. A Worker that passes on an
 * origin's response does not know what its own client can read. Left as they are: responses without
 * a body, parts (206), other compressions, and `no-transform`.
 * @param headers flat; changed, if there is something to take off
 */
export function decodeFor(
  request: IncomingMessage,
  status: number,
  headers: string[],
): MakeTransform | undefined {
  const coding = valueOf(headers, "content-encoding")?.trim().toLowerCase();
  const make = coding === undefined ? undefined : DECODERS.get(coding);
  if (make === undefined || request.method === "HEAD" || BODILESS.has(status)) return undefined;
  if (accepts(request.headers["accept-encoding"], coding!)) return undefined;
  if (/\bno-transform\b/i.test(valueOf(headers, "cache-control") ?? "")) return undefined;
  const tag = valueOf(headers, "etag");
  for (const name of ["content-encoding", "content-length", "content-md5", "etag"]) {
    remove(headers, name);
  }
  // The bytes are others than those that a strong tag names.
  if (tag !== undefined) headers.push("etag", tag.startsWith("W/") ? tag : `W/${tag}`);
  headers.push("vary", "accept-encoding");
  return make;
}

const DECODERS: ReadonlyMap<string, MakeTransform> = new Map<string, MakeTransform>([
  ["gzip", () => createGunzip()],
  ["x-gzip", () => createGunzip()],
  ["br", () => createBrotliDecompress()],
]);

const BODILESS: ReadonlySet<number> = new Set([204, 205, 206, 304]);

/** Does a client read this coding? (RFC 9110, section 12.5.3.) One that says nothing may not. */
export function accepts(header: string | string[] | undefined, coding: string): boolean {
  const wanted = coding.replace(/^x-/, "");
  let any = false;
  for (const item of String(header ?? "").split(",")) {
    const [name = "", ...parameters] = item.toLowerCase().split(";");
    const isNone = parameters.some((one) => /^\s*q\s*=\s*0(?:\.0*)?\s*$/.test(one));
    const named = name.trim().replace(/^x-/, "");
    if (named === wanted) return !isNone;
    if (named === "*") any = !isNone;
  }
  return any;
}

function valueOf(headers: readonly string[], name: string): string | undefined {
  for (let i = 0; i < headers.length; i += 2) {
    if (headers[i]!.length === name.length && headers[i]!.toLowerCase() === name) {
      return headers[i + 1];
    }
  }
  return undefined;
}

function remove(headers: string[], name: string): void {
  for (let i = headers.length - 2; i >= 0; i -= 2) {
    if (headers[i]!.toLowerCase() === name) headers.splice(i, 2);
  }
}
