import { STATUS_CODES } from "node:http";
import type { Duplex } from "node:stream";
import type { InFlight } from "./in-flight.ts";
import { isHeaderOverflow } from "./limits.ts";
import { closeSoon } from "./sockets.ts";

/** Why the bytes of a client are not a request. */
export type Unread = "headers too large" | "too late" | "malformed";

export interface UnreadAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | number>>;
  readonly body: string;
}

/**
 * Answers a request that a server's parser gave up on (its `clientError`), always with a body.
 * Earlier requests on the same connection are answered first. Further bytes of the client are read
 * and dropped for a moment, because closing a socket with unread bytes would discard the answer.
 */
export function answerUnread(
  error: Error,
  socket: Duplex,
  inFlight: InFlight,
  answer: (why: Unread) => UnreadAnswer,
): void {
  if (answered.has(socket)) return;
  answered.add(socket);
  if ((error as NodeJS.ErrnoException).code === "ECONNRESET" || !socket.writable) {
    socket.destroy(error);
    return;
  }
  const before = inFlight.on(socket);
  if (before?.request.complete === true) {
    before.response.shouldKeepAlive = false;
    before.response.once("finish", () => closeSoon(socket));
    return;
  }
  if (before?.response.headersSent === true) {
    socket.destroy(error);
    return;
  }
  const { status, headers, body } = answer(whyOf(error));
  const all = { connection: "close", "content-length": Buffer.byteLength(body), ...headers };
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
  socket.write(
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? "Failed"}\r\n${lines.join("")}\r\n${body}`,
  );
  closeSoon(socket);
}

function whyOf(error: Error): Unread {
  if (isHeaderOverflow(error)) return "headers too large";
  const { code } = error as NodeJS.ErrnoException;
  return code === "ERR_HTTP_REQUEST_TIMEOUT" ? "too late" : "malformed";
}

/** A parser that has failed gets each further byte, and fails again. */
const answered: WeakSet<Duplex> = new WeakSet();
