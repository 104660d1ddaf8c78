import type { IncomingMessage, ServerResponse } from "node:http";
import { Failure, type FailureCode } from "../failures/failures.ts";
import type { Unread, UnreadAnswer } from "../forward/unread.ts";

/** The header by which a Worker tells a failure of the gateway from a response of the origin. */
export const FAILURE_HEADER = "countersign-failure";

/** Answers a Worker with a failure: its code in a header, and all of it in JSON or text. */
export function respondWithFailure(
  failure: Failure,
  request: IncomingMessage,
  response: ServerResponse,
): void {
  const text = prefersText(request.headers.accept);
  const body = text ? asText(failure) : asJson(failure);
  // A reason phrase of the origin's that could not be written must not stay.
  response.writeHead(failure.entry.status, failure.entry.title, {
    "content-type": text ? "text/plain; charset=utf-8" : "application/json",
    "content-length": Buffer.byteLength(body),
    "cache-control": "no-store",
    [FAILURE_HEADER]: failure.code,
  });
  response.end(body);
}

/** Answers what is no request that could be read. */
export function unreadFailure(why: Unread): UnreadAnswer {
  const failure = new Failure(UNREAD[why]);
  return {
    status: failure.entry.status,
    headers: {
      "content-type": "application/json",
      "cache-control": "no-store",
      [FAILURE_HEADER]: failure.code,
    },
    body: asJson(failure),
  };
}

const UNREAD: Readonly<Record<Unread, FailureCode>> = {
  "headers too large": "binding_headers_too_large",
  "too late": "request_timeout",
  malformed: "origin_request_malformed",
};

function asJson({ code, message, entry, fix, facts }: Failure): string {
  const error = { ...facts, code, message, cause: entry.cause, fix, side: entry.side };
  return `${JSON.stringify({ error })}\n`;
}

function asText({ code, message, entry, fix }: Failure): string {
  return `${message}\n\n${entry.cause}\n${fix}\n\n${code} (${entry.side})\n`;
}

function prefersText(accept: string | undefined): boolean {
  if (accept === undefined || accept.includes("json")) return false;
  return accept.includes("text/plain");
}
