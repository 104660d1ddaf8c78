import type { Socket } from "node:net";
import { guarded } from "../forward/guarded.ts";

/** What the first bytes of a connection turned out to be. */
export interface Peeked<T> {
  readonly found: T;
  /** The bytes that the next reader gets. Empty: none. */
  readonly rest: Buffer;
}

/** ms that the other side has for its first bytes. */
const PEEK_TIMEOUT = 10_000;

/**
 * Looks at the first bytes of a connection, before anything else reads from it. A connection that
 * is silent for 10 s, or that ends before there is an answer, is closed.
 * @param read is asked again with all bytes that have come, until it does not say `more`. It must
 * not throw. `close`: nothing is to be had from this connection, it is closed
 * @param done takes the connection over, with a listener for `error` of its own
 */
export function peek<T>(
  socket: Socket,
  read: (bytes: Buffer) => Peeked<T> | "more" | "close",
  done: (found: T) => void,
): void {
  let bytes: Buffer = Buffer.alloc(0);
  const timer = setTimeout(() => socket.destroy(), PEEK_TIMEOUT).unref();
  const finish = (): void => {
    clearTimeout(timer);
    socket.off("readable", onReadable).off("end", onEnd).off("close", finish);
  };
  const onEnd = (): void => void socket.destroy();
  const onReadable = guarded(socket, (): void => {
    const chunk = socket.read() as Buffer | null;
    if (chunk === null) return;
    bytes = Buffer.concat([bytes, chunk]);
    const peeked = read(bytes);
    if (peeked === "more") return;
    finish();
    if (peeked === "close") return void socket.destroy();
    socket.unshift(peeked.rest);
    done(peeked.found);
    socket.off("error", ignore);
  });
  socket.on("error", ignore).on("readable", onReadable).on("end", onEnd).on("close", finish);
}

function ignore(): void {}
