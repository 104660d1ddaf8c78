import { randomFillSync } from "node:crypto";
import type { Failure } from "./failures.ts";

/**
 * What a client sees of a failure: `public` all of it, with hosts, addresses and issuers; `owner` its
 * code, title and ray, and the rest is in the log under that ray.
 */
export type ShownDetails = "public" | "owner";

export interface Rendering {
  /** The request's `Accept`. */
  readonly accept: string | undefined;
  /** For an `Accept` that names neither: programs read `json`, people `text`. */
  readonly otherwise: "json" | "text";
  readonly details: ShownDetails;
  /** Names the request, in the log too. Null: nothing of it could be read. */
  readonly ray: string | null;
}

/** The headers and the body of an answer that is a failure, of the gateway and the ingress alike. */
export function renderFailure(
  failure: Failure,
  { accept, otherwise, details, ray }: Rendering,
): { readonly headers: Readonly<Record<string, string | number>>; readonly body: string } {
  const shown = { details, ray };
  const isText = wanted(accept, otherwise) === "text";
  const body = isText ? asText(failure, shown) : asJson(failure, shown);
  return {
    body,
    headers: {
      "content-type": isText ? "text/plain; charset=utf-8" : "application/json",
      "content-length": Buffer.byteLength(body),
      "cache-control": "no-store",
    },
  };
}

/** Names one request in logs and responses. */
export function newRay(): string {
  if (drawn === bytes.length) {
    randomFillSync(bytes);
    drawn = 0;
  }
  drawn += RAY_BYTES;
  return bytes.toString("hex", drawn - RAY_BYTES, drawn);
}

const RAY_BYTES = 8;
/**
 * Random bytes for 512 rays at once: one call for each took a tenth of the ingress's time for a
 * small request.
 */
const bytes = Buffer.alloc(512 * RAY_BYTES);
let drawn = bytes.length;

type Shown = Pick<Rendering, "details" | "ray">;

function asJson({ code, message, entry, fix, facts }: Failure, { details, ray }: Shown): string {
  const { number, title, cause, side } = entry;
  const error =
    details === "owner"
      ? { code, number, title, side, ray }
      : { ...facts, code, number, title, message, cause, fix, side, ray };
  return `${JSON.stringify({ error })}\n`;
}

function asText({ code, message, entry, fix }: Failure, { details, ray }: Shown): string {
  const { number, title, cause, side } = entry;
  const end = `error ${number} (${code}) · side ${side}${ray === null ? "" : ` · ray ${ray}`}\n`;
  return details === "owner" ? `${title}\n\n${end}` : `${message}\n\n${cause}\n${fix}\n\n${end}`;
}

function wanted(accept: string | undefined, otherwise: "json" | "text"): "json" | "text" {
  if (accept?.includes("json")) return "json";
  return accept?.includes("text/") ? "text" : otherwise;
}
