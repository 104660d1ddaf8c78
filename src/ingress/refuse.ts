import { STATUS_CODES, type IncomingMessage, type ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import { isHeaderOverflow } from "../forward/limits.ts";
import { Failure, type FailureCode } from "../failures/failures.ts";
import { renderFailure } from "../failures/rendered.ts";

/** Answers for a Worker that cannot: what happened and what to do, as JSON where that is wanted. */
export function refuse(
  request: IncomingMessage,
  response: ServerResponse,
  code: FailureCode,
  ray: string,
): void {
  const failure = new Failure(code);
  const { status } = failure.entry;
  const { accept } = request.headers;
  const { headers, body } = renderFailure(failure, { accept, ...forPeople, ray });
  response.writeHead(status, {
    ...headers,
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
  const failure = new Failure(
    isHeaderOverflow(error)
      ? "headers_too_large"
      : code === "ERR_HTTP_REQUEST_TIMEOUT"
        ? "request_timeout"
        : "request_malformed",
  );
  const { headers, body } = renderFailure(failure, { accept: undefined, ...forPeople, ray: null });
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  const { status } = failure.entry;
  socket.end(
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nconnection: close\r\n${lines.join("")}\r\n${body}`,
  );
}

/** What the ingress says is the table's words alone: there are no details to keep back. */
const forPeople = { otherwise: "text", details: "public" } as const;
