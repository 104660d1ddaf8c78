import { EventEmitter } from "node:events";

/**
 * A listener on a socket whose other end may be anybody's. What it throws ends this connection,
 * which reports it, and not the process that all connections share.
 */
export function guarded<Args extends unknown[]>(
  socket: { destroy(error: Error): unknown },
  listener: (...args: Args) => void,
): (...args: Args) => void {
  return (...args) => {
    try {
      listener(...args);
    } catch (error) {
      // An error that nobody listens for would be thrown again.
      if (socket instanceof EventEmitter) socket.on("error", ignore);
      socket.destroy(asError(error));
    }
  };
}

export function asError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown));
}

function ignore(): void {}
