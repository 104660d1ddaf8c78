import type { Duplex } from "node:stream";

/** Reads a stream piece by piece, and leaves what follows to the next reader of the stream. */
export class ByteReader {
  readonly stream: Duplex;
  #error: Error | null = null;

  constructor(stream: Duplex) {
    this.stream = stream;
    // Kept: an error between two reads is told at the next.
    stream.on("error", (error) => (this.#error ??= error));
  }

  /** @throws Error of the stream, or `ECONNRESET` where it ended before `count` bytes came */
  take(count: number): Promise<Buffer> {
    const { stream } = this;
    if (count === 0) return Promise.resolve(Buffer.alloc(0));
    return new Promise((fulfil, reject) => {
      const settle = (result: Buffer | Error): void => {
        stream.off("readable", attempt);
        stream.off("end", gone);
        stream.off("close", gone);
        stream.off("error", gone);
        if (result instanceof Error) reject(result);
        else fulfil(result);
      };
      const attempt = (): void => {
        const bytes = stream.read(count) as Buffer | null;
        if (bytes === null) return;
        settle(bytes.length === count ? bytes : (this.#error ?? ended()));
      };
      const gone = (): void => settle(this.#error ?? ended());
      if (stream.destroyed || stream.readableEnded) return gone();
      stream.on("readable", attempt);
      stream.on("end", gone);
      stream.on("close", gone);
      stream.on("error", gone);
      attempt();
    });
  }
}

function ended(): Error {
  return Object.assign(new Error("closed"), { code: "ECONNRESET" });
}
