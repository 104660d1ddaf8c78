import { STATUS_CODES } from "node:http";
import type { Duplex } from "node:stream";
import type { InFlight } from "./in-flight.ts";
import { isHeaderOverflow } from "./limits.ts";

/** Why what a client sent is no request. */
export type Unread = "headers too large" | "too late" | "malformed";

export interface UnreadAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | number>>;
  readonly body: string;
}

/**
 * Answers what a server's parser gave up on (its `clientError`), never without a body. What was
 * asked before on the same connection is answered to its end. The rest of what the client sends is
 * read and dropped for a moment: a close with unread bytes would take the answer with it.
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
    before.response.once("finish", () => close(socket));
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
  close(socket);
}

function whyOf(error: Error): Unread {
  if (isHeaderOverflow(error)) return "headers too large";
  const { code } = error as NodeJS.ErrnoException;
  return code === "ERR_HTTP_REQUEST_TIMEOUT" ? "too late" : "malformed";
}

/** A parser that has failed is told of each further byte, and fails again. */
const answered: WeakSet<Duplex> = new WeakSet();

function close(socket: Duplex): void {
  socket.end();
  const timer = setTimeout(() => socket.destroy(), LINGER).unref();
  socket.once("close", () => clearTimeout(timer));
}

/** ms */
const LINGER = 2_000;
