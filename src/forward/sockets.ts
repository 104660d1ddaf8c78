import { ServerResponse, type IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { guarded } from "./guarded.ts";

/** What a server has of a request to switch protocols. */
export interface Upgrade {
  readonly socket: Duplex;
  readonly head: Buffer;
}

/** A response on the bare socket of an `upgrade` or `connect` event. The socket is closed after it. */
export function responseOn(socket: Duplex, request: IncomingMessage): ServerResponse {
  const response = new ServerResponse(request);
  response.shouldKeepAlive = false;
  response.assignSocket(socket as never);
  // Its close follows, and is the response's too.
  socket.on("error", () => {});
  response.once("finish", () => closeSoon(socket));
  return response;
}

/** Ends it. An other end that does not close has a moment to read what was sent: a socket closed at once would discard it. */
export function closeSoon(socket: Duplex): void {
  socket.end();
  const timer = setTimeout(() => socket.destroy(), LINGER).unref();
  socket.once("close", () => clearTimeout(timer));
}

/** ms */
const LINGER = 2_000;

/** Joins two sockets: what ends or breaks on one side does so on the other. */
export function splice(one: Duplex, other: Duplex): void {
  one.pipe(other);
  other.pipe(one);
  endWith(one, other);
  endWith(other, one);
}

function endWith(one: Duplex, other: Duplex): void {
  // Its close follows.
  one.on("error", () => {});
  const closed = guarded(other, () => {
    // A stream that ended is still written to its end. A stream that broke is cut.
    if (one.readableEnded) other.end(() => other.destroy());
    else other.destroy();
  });
  one.once("close", closed);
}

/** What ends an exchange that nobody waits for any more. */
export function clientGone(): Error {
  return Object.assign(new Error("the client closed its connection"), { code: "CLIENT_GONE" });
}
