import type { IncomingMessage, ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import { Exchange } from "./exchange.ts";
import { responseOn } from "./sockets.ts";
import type { Attempt, ForwardTarget } from "./target.ts";

export type { Attempt, ForwardTarget } from "./target.ts";

/**
 * Forwards one request and streams its response, with back-pressure and aborts in both directions.
 *
 * It is sent once, unless the target knows that it may be sent again. A response that breaks off
 * destroys the client's connection: a truncated body never ends cleanly. Informational responses
 * and trailers are dropped, as `fetch` does.
 */
export function forward(
  request: IncomingMessage,
  response: ServerResponse,
  target: ForwardTarget,
): void {
  new Exchange(request, response, target, null).start();
}

/**
 * Forwards an upgrade (a server's `upgrade` event): once the origin switches protocols, bytes flow
 * both ways; if it answers with a response instead, the client gets that.
 */
export function forwardUpgrade(
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
  target: ForwardTarget,
): void {
  new Exchange(request, responseOn(socket, request), target, { socket, head }).start();
}

/**
 * Forwards what asks for a tunnel as HTTP/2 does (RFC 8441): `response` announces it, `tunnel`
 * carries its bytes.
 */
export function forwardTunnel(
  request: IncomingMessage,
  response: ServerResponse,
  tunnel: Duplex,
  target: ForwardTarget,
): void {
  new Exchange(request, response, target, { socket: tunnel, head: Buffer.alloc(0) }).start();
}

/**
 * The head of a request without a body goes out in one write. If that fails, because the peer had
 * closed the connection before, no peer has read a whole request.
 */
export function wasNeverSent(error: Error, { hasBody }: Attempt): boolean {
  return !hasBody && (error as NodeJS.ErrnoException).code === "EPIPE";
}
