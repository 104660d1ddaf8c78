import type { IncomingMessage, ServerResponse } from "node:http";
import type { Unread, UnreadAnswer } from "../forward/unread.ts";
import { failures, type FailureCode } from "../failures/failures.ts";
import { newRay } from "./request.ts";

/** Answers for a Worker that cannot: what happened and what to do, as JSON where that is wanted. */
export function refuse(
  request: IncomingMessage,
  response: ServerResponse,
  code: FailureCode,
  ray: string,
): void {
  const { status, number, title, cause, fix } = failures[code];
  const wantsJson = request.headers.accept?.includes("json") === true;
  const body = wantsJson
    ? JSON.stringify({ error: { code, number, title, cause, fix, ray } })
    : asText(code, ray);
  const type = wantsJson ? "application/json" : "text/plain; charset=utf-8";
  response.writeHead(status, {
    "content-type": type,
    "content-length": Buffer.byteLength(body),
    "cache-control": "no-store",
    "cf-ray": ray,
    ...(status === 503 && { "retry-after": "1" }),
  });
  response.end(body);
}

/** Answers what is no request that could be read. */
export function unreadAnswer(why: Unread): UnreadAnswer {
  const ray = newRay();
  const code = UNREAD[why];
  return {
    status: failures[code].status,
    headers: {
      "content-type": "text/plain; charset=utf-8",
      "cache-control": "no-store",
      "cf-ray": ray,
    },
    body: asText(code, ray),
  };
}

const UNREAD: Readonly<Record<Unread, FailureCode>> = {
  "headers too large": "headers_too_large",
  "too late": "request_timeout",
  malformed: "request_malformed",
};

function asText(code: FailureCode, ray: string): string {
  const { number, title, cause, fix } = failures[code];
  return `${title}\n\n${cause}\n${fix}\n\nerror ${number} (${code}) · ray ${ray}\n`;
}
