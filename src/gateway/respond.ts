import type { IncomingMessage, ServerResponse } from "node:http";
import { Failure, type FailureCode } from "../failures/failures.ts";
import type { Unread, UnreadAnswer } from "../forward/unread.ts";
import { newRay, renderFailure, type ShownDetails } from "../failures/rendered.ts";

/** The header by which a Worker tells a failure of the gateway from a response of the origin. */
export const FAILURE_HEADER = "countersign-failure";

/** Under which ray the log has it: a Worker that hands the response on is found by either. */
export const RAY_HEADER = "countersign-ray";

export interface ShownFailure {
  readonly details: ShownDetails;
  /** Names the request, in the log too. */
  readonly ray: string;
}

/** Of the client's request where the Worker handed that on, else one of its own. */
export function rayOf({ headers }: IncomingMessage): string {
  const sent = headers["cf-ray"];
  if (typeof sent === "string" && /^[0-9a-f]{16}(-[A-Z]{3})?$/.test(sent)) return sent;
  return newRay();
}

/** Answers a Worker with a failure: its code in a header, and what may be shown in JSON or text. */
export function respondWithFailure(
  failure: Failure,
  request: IncomingMessage,
  response: ServerResponse,
  shown: ShownFailure,
): void {
  const { accept } = request.headers;
  const { headers, body } = renderFailure(failure, { accept, otherwise: "json", ...shown });
  // A reason phrase of the origin's that could not be written must not stay.
  response.writeHead(failure.entry.status, failure.entry.title, {
    ...headers,
    [FAILURE_HEADER]: failure.code,
    [RAY_HEADER]: shown.ray,
  });
  response.end(body);
}

/** Answers what is no request that could be read: its failure is in the table's words alone. */
export function unreadFailure(why: Unread): UnreadAnswer {
  const failure = new Failure(UNREAD[why]);
  const { headers, body } = renderFailure(failure, {
    accept: undefined,
    otherwise: "json",
    details: "public",
    ray: newRay(),
  });
  return {
    status: failure.entry.status,
    headers: { ...headers, [FAILURE_HEADER]: failure.code },
    body,
  };
}

const UNREAD: Readonly<Record<Unread, FailureCode>> = {
  "headers too large": "binding_headers_too_large",
  "too late": "request_timeout",
  malformed: "origin_request_malformed",
};
