import type { IncomingMessage, ServerResponse } from "node:http";
import type { Socket } from "node:net";

type Answer = (request: IncomingMessage, response: ServerResponse) => void;

/**
 * HTTP/1.1 lets a client send requests without waiting for answers, and Node makes an exchange of
 * each as fast as they are read: thousands from 64 KB. Each waits with its answer behind the first,
 * which may be long. Who sends more than a few is cut.
 */
export function withinPipeline(answer: Answer): Answer {
  const waiting = new WeakMap<Socket, number>();
  return (request, response) => {
    const { socket } = request;
    // Read before the connection was closed, parsed after it.
    if (socket.destroyed) return;
    // Null: another request of this connection is answered before.
    if (response.socket === null) {
      const count = (waiting.get(socket) ?? 0) + 1;
      if (count >= MOST_PIPELINED) {
        socket.destroy();
        return;
      }
      waiting.set(socket, count);
      response.once("close", () => waiting.set(socket, waiting.get(socket)! - 1));
    }
    answer(request, response);
  };
}

/** Those that were answered and wait take 5 KB each, and an address may have 1,024 connections. */
export const MOST_PIPELINED = 32;
