import { EventEmitter } from "node:events";

/**
 * A listener on a socket whose other end may be hostile. An exception ends and is reported on this
 * connection. It does not end the process, which all connections share.
 */
export function guarded<Args extends unknown[]>(
  socket: { destroy(error: Error): unknown },
  listener: (...args: Args) => void,
): (...args: Args) => void {
  return (...args) => {
    try {
      listener(...args);
    } catch (error) {
      // An `error` event without a listener would be thrown.
      if (socket instanceof EventEmitter) socket.on("error", ignore);
      socket.destroy(asError(error));
    }
  };
}

export function asError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown));
}

/** False: it threw, and nobody is left who could be told. */
export function attempt(work: () => void): boolean {
  try {
    work();
    return true;
  } catch {
    return false;
  }
}

function ignore(): void {}
