import { randomBytes } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { GatewayOptions } from "../contract/gateway-options.ts";
import type { Failure } from "../failures/failures.ts";

/** The header by which a Worker tells a failure of the gateway from a response of the origin. */
export const FAILURE_HEADER = "countersign-failure";

export type FailureDetail = GatewayOptions["failureDetails"];

export interface ShownFailure {
  readonly details: FailureDetail;
  /** Names the request, in the log too. */
  readonly ray: string;
}

/** Of the client's request where the Worker handed that on, else one of its own. */
export function rayOf({ headers }: IncomingMessage): string {
  const sent = headers["cf-ray"];
  if (typeof sent === "string" && /^[0-9a-f]{16}(-[A-Z]{3})?$/.test(sent)) return sent;
  return randomBytes(8).toString("hex");
}

/** Answers a Worker with a failure: its code in a header, and what may be shown in JSON or text. */
export function respondWithFailure(
  failure: Failure,
  request: IncomingMessage,
  response: ServerResponse,
  shown: ShownFailure,
): void {
  const text = prefersText(request.headers.accept);
  const body = text ? asText(failure, shown) : asJson(failure, shown);
  // A reason phrase of the origin's that could not be written must not stay.
  response.writeHead(failure.entry.status, failure.entry.title, {
    "content-type": text ? "text/plain; charset=utf-8" : "application/json",
    "content-length": Buffer.byteLength(body),
    "cache-control": "no-store",
    [FAILURE_HEADER]: failure.code,
  });
  response.end(body);
}

function asJson(
  { code, message, entry, fix, facts }: Failure,
  { details, ray }: ShownFailure,
): string {
  const { number, title, cause, side } = entry;
  const error =
    details === "owner"
      ? { code, number, title, side, ray }
      : { ...facts, code, number, title, message, cause, fix, side, ray };
  return `${JSON.stringify({ error })}\n`;
}

function asText({ code, message, entry, fix }: Failure, { details, ray }: ShownFailure): string {
  const { number, title, cause, side } = entry;
  const end = `error ${number} (${code}, ${side}) · ray ${ray}\n`;
  return details === "owner" ? `${title}\n\n${end}` : `${message}\n\n${cause}\n${fix}\n\n${end}`;
}

function prefersText(accept: string | undefined): boolean {
  if (accept === undefined || accept.includes("json")) return false;
  return accept.includes("text/plain");
}
