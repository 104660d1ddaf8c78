import type { IncomingMessage, ServerResponse } from "node:http";
import { failures, type FailureCode } from "../failures/failures.ts";

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
    : `${title}\n\n${cause}\n${fix}\n\nerror ${number} (${code}) · ray ${ray}\n`;
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
