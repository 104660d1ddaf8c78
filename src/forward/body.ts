import type { IncomingMessage, ServerResponse } from "node:http";
import { Readable } from "node:stream";
import { guarded } from "./guarded.ts";

/**
 * A request's body, which may be read more than once as long as its beginning is kept. Nothing is
 * read, and no `100 Continue` sent, before an upstream connection asks for it.
 */
export class Upload {
  readonly #request: IncomingMessage;
  #continueOn: ServerResponse | null;
  #reader: RequestBody | null = null;
  /** All that has come so far. Null: it is no longer kept. */
  #kept: Buffer[] | null = [];
  #keptBytes = 0;
  readonly #most: number;
  #bytes = 0;
  /** Bytes when it was last asked whether it moves. */
  #seen = 0;
  #flowing = false;
  #released = false;

  /**
   * @param continueOn the response on which the client waits for `100 Continue`, or null
   * @param most bytes: a body that has more fails. 0: no limit
   */
  constructor(request: IncomingMessage, continueOn: ServerResponse | null, most = 0) {
    this.#request = request;
    this.#most = most;
    this.#continueOn = continueOn;
  }

  /** Can it be read from its beginning? */
  get isWhole(): boolean {
    return this.#kept !== null && !this.#request.errored && !this.#isCut;
  }

  /** The body from its beginning, for one attempt. The attempt before it has ended. */
  read(): Readable {
    const reader = new RequestBody({
      asked: () => this.#flow(),
      left: (body) => this.#left(body),
    });
    this.#reader = reader;
    for (const chunk of this.#kept ?? []) reader.push(chunk);
    if (this.#flowing && this.#request.complete && this.#request.readableEnded) reader.push(null);
    return reader;
  }

  /** It cannot be read a second time. */
  forget(): void {
    this.#kept = null;
  }

  /** Nothing reads the body any more: the rest is discarded, so that the response can be sent. */
  release(): void {
    this.#released = true;
    this.#kept = null;
    if (this.#reader === null || this.#reader.destroyed) this.#flowAway();
  }

  /**
   * As `release`; the client gets time to see the response before its unfinished upload is cut.
   */
  linger(): void {
    const request = this.#request;
    this.release();
    if (request.complete) return;
    const timer = setTimeout(() => request.socket.destroy(), LINGER);
    timer.unref();
    request.once("close", () => clearTimeout(timer));
  }

  /** Has any of it come since this was asked before, or is it the client's turn? */
  isMoving(): boolean {
    const hasMoved = this.#bytes !== this.#seen;
    this.#seen = this.#bytes;
    return hasMoved || (!this.#request.readableEnded && this.#reader?.readableLength === 0);
  }

  get #isCut(): boolean {
    return this.#request.destroyed && !this.#request.complete;
  }

  #flow(): void {
    if (this.#flowing) {
      this.#request.resume();
      return;
    }
    this.#flowing = true;
    this.#continueOn?.writeContinue();
    this.#continueOn = null;
    const request = this.#request;
    request
      .on(
        "data",
        guarded(request, (chunk: Buffer) => this.#take(chunk)),
      )
      .on("end", () => this.#reader?.push(null))
      .on("error", (error) => this.#reader?.destroy(error))
      .on("close", () => {
        if (!this.#request.complete) {
          this.#reader?.destroy(new Error("the client closed its upload"));
        }
      });
  }

  #take(chunk: Buffer): void {
    this.#bytes += chunk.length;
    if (this.#most > 0 && this.#bytes > this.#most) {
      this.#reader?.destroy(Object.assign(new Error("the body is too large"), { code: TOO_LARGE }));
      return;
    }
    if (this.#kept !== null) this.#keep(this.#kept, chunk);
    if (this.#reader?.push(chunk) !== true) this.#request.pause();
  }

  #keep(kept: Buffer[], chunk: Buffer): void {
    this.#keptBytes += chunk.length;
    // Each chunk may keep a whole read buffer in memory.
    if (this.#keptBytes > KEPT_BYTES || kept.length === KEPT_CHUNKS) this.#kept = null;
    else kept.push(chunk);
  }

  #left(reader: RequestBody): void {
    if (this.#reader !== reader) return;
    this.#reader = null;
    if (this.#released) this.#flowAway();
    // Another attempt may continue to read.
    else if (this.#flowing) this.#request.pause();
  }

  #flowAway(): void {
    if (!this.#flowing || this.#request.destroyed) return;
    this.#request.removeAllListeners("data");
    this.#request.resume();
  }
}

/** How long a client may go on with an upload after the response has gone out, in ms. */
const LINGER = 2_000;

const TOO_LARGE = "BODY_TOO_LARGE";

export function isBodyTooLarge(error: Error): boolean {
  return (error as NodeJS.ErrnoException).code === TOO_LARGE;
}

const KEPT_BYTES = 65_536;
const KEPT_CHUNKS = 16;

interface Source {
  asked(): void;
  left(body: RequestBody): void;
}

/**
 * The stream that a dispatcher reads. A dispatcher destroys the body that it was given. If that
 * were the `IncomingMessage` itself, the client's connection would be lost.
 */
class RequestBody extends Readable {
  readonly #source: Source;

  constructor(source: Source) {
    super({ highWaterMark: 65_536 });
    this.#source = source;
  }

  override _read(): void {
    this.#source.asked();
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#source.left(this);
    callback(error);
  }
}
