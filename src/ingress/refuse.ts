import { STATUS_CODES, type IncomingMessage, type ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import { isHeaderOverflow } from "../forward/limits.ts";
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

/** Answers what is no request that could be read, on a server's `clientError`. */
export function refuseUnread(error: Error, socket: Duplex): void {
  const { code } = error as NodeJS.ErrnoException;
  if (code === "ECONNRESET" || !socket.writable) {
    socket.destroy(error);
    return;
  }
  const failure: FailureCode = isHeaderOverflow(error)
    ? "headers_too_large"
    : code === "ERR_HTTP_REQUEST_TIMEOUT"
      ? "request_timeout"
      : "request_malformed";
  const { status, number, title, cause, fix } = failures[failure];
  const body = `${title}\n\n${cause}\n${fix}\n\nerror ${number} (${failure})\n`;
  socket.end(
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nconnection: close\r\n` +
      `content-type: text/plain; charset=utf-8\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  );
}
