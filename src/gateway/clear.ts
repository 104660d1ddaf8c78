import type { Duplex } from "node:stream";

/**
 * Reads exactly `size` bytes of a socket that nothing else reads. Null: it ended before.
 * @throws its error, or the signal's reason
 */
export async function readExactly(
  socket: Duplex,
  size: number,
  signal?: AbortSignal,
): Promise<Buffer | null> {
  // Kept here meanwhile: the socket would report bytes in its own buffer as readable again.
  const held: Buffer[] = [];
  let length = 0;
  for (;;) {
    const got = socket.read() as Buffer | null;
    if (got !== null) {
      held.push(got);
      length += got.length;
    }
    if (length >= size) {
      const all = Buffer.concat(held);
      if (length > size) socket.unshift(all.subarray(size));
      return all.subarray(0, size);
    }
    if (got !== null) continue;
    if (socket.errored) throw socket.errored;
    if (socket.readableEnded || socket.destroyed) return null;
    await readable([socket], signal);
  }
}

/** Resolves when one of the sockets has something to read, has ended or is closed. */
export function readable(sockets: readonly Duplex[], signal?: AbortSignal): Promise<void> {
  return new Promise((fulfil, reject) => {
    const over = (): void => {
      for (const socket of sockets) {
        for (const event of EVENTS) socket.off(event, done);
        socket.off("error", failed);
      }
      signal?.removeEventListener("abort", aborted);
    };
    const done = (): void => {
      over();
      fulfil();
    };
    const failed = (error: Error): void => {
      over();
      reject(error);
    };
    const aborted = (): void => failed(signal!.reason as Error);
    if (signal?.aborted) {
      reject(signal.reason as Error);
      return;
    }
    if (sockets.some(isReady)) {
      fulfil();
      return;
    }
    for (const socket of sockets) {
      for (const event of EVENTS) socket.on(event, done);
      socket.on("error", failed);
    }
    signal?.addEventListener("abort", aborted);
  });
}

const EVENTS = ["readable", "end", "close"] as const;

function isReady(socket: Duplex): boolean {
  return socket.readableEnded || socket.destroyed;
}
