import { createServer } from "node:http";
import type { Socket } from "node:net";

/**
 * Node's HTTP parser reads every connection of a process into one buffer of 64 KiB, and nothing of
 * ours reaches that: what a request held stays there until longer ones come. A request of zeros
 * that fills it is what overwrites it. It comes over a pipe from the intake process.
 */
export class Wash {
  readonly #request: () => Promise<void>;
  readonly #ended: Promise<unknown>;
  #next: Promise<void> | null = null;
  #running: Promise<void> = Promise.resolve();
  #longest = 0;
  #answered: () => void = () => {};

  /**
   * @param request has the other end of the pipe write one `washRequest`
   * @param ended resolves when nobody is at the other end any more
   */
  constructor(pipe: Socket, request: () => Promise<void>, ended: Promise<unknown>) {
    this.#request = request;
    this.#ended = ended;
    const server = createServer((incoming, response) => {
      incoming.on("data", ({ length }: Buffer) => {
        this.#longest = Math.max(this.#longest, length);
      });
      incoming.on("end", () => response.end(() => this.#answered()));
    });
    server.keepAliveTimeout = 0;
    server.emit("connection", pipe);
  }

  /** Resolves once nothing is left of what was read before the call. Those who wait share one run. */
  run(): Promise<void> {
    this.#next ??= this.#running.then(() => {
      this.#next = null;
      this.#running = this.#fill();
      return this.#running;
    });
    return this.#next;
  }

  async #fill(): Promise<void> {
    for (let tries = 0; tries < MOST_TRIES; tries++) {
      this.#longest = 0;
      const answered = new Promise<void>((resolve) => (this.#answered = resolve));
      await this.#request();
      await Promise.race([answered, this.#ended]);
      if (this.#longest >= PARSER_BUFFER) return;
    }
  }
}

/** `kAllocBufferSize` in Node's src/node_http_parser.cc */
const PARSER_BUFFER = 64 * 1024;
/** A read that finds the pipe half full overwrites only as much. */
const MOST_TRIES = 20;

const BODY = 3 * PARSER_BUFFER;
export const washRequest: Buffer = Buffer.concat([
  Buffer.from(`POST / HTTP/1.1\r\nhost: wash\r\ncontent-length: ${BODY}\r\n\r\n`),
  Buffer.alloc(BODY),
]);
