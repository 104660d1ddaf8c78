import type { IncomingMessage, ServerResponse } from "node:http";
import type { Unread, UnreadAnswer } from "../forward/unread.ts";
import { Failure, type FailureCode } from "../failures/failures.ts";
import { Http2Response } from "./http2-response.ts";
import { newRay, renderFailure } from "../failures/rendered.ts";

/** Answers in place of a Worker: what happened and what to do, as JSON if the client accepts it. */
export function refuse(
  request: IncomingMessage,
  response: ServerResponse,
  code: FailureCode,
  ray: string,
): void {
  const failure = new Failure(code);
  const { status } = failure.entry;
  const { accept } = request.headers;
  if (OF_FRAMING.has(code)) response.shouldKeepAlive = false;
  const { headers, body } = renderFailure(failure, { accept, ...forPeople, ray });
  response.writeHead(status, {
    ...headers,
    "cf-ray": ray,
    ...(status === 503 && { "retry-after": "1" }),
  });
  const http2: unknown = response;
  if (http2 instanceof Http2Response) http2.endOptional(body);
  else response.end(body);
}

/** What comes next on the connection may be the rest of a body. */
const OF_FRAMING: ReadonlySet<FailureCode> = new Set([
  "request_malformed",
  "transfer_coding_unsupported",
]);

/** Answers what is no request that could be read. */
export function unreadAnswer(why: Unread): UnreadAnswer {
  const ray = newRay();
  const failure = new Failure(UNREAD[why]);
  const { headers, body } = renderFailure(failure, { accept: undefined, ...forPeople, ray });
  return { status: failure.entry.status, headers: { ...headers, "cf-ray": ray }, body };
}

const UNREAD: Readonly<Record<Unread, FailureCode>> = {
  "headers too large": "headers_too_large",
  "too late": "request_timeout",
  malformed: "request_malformed",
};

/** What the ingress says is the table's words alone: there are no details to keep back. */
const forPeople = { otherwise: "text", details: "public" } as const;
