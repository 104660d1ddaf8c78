import type { IncomingMessage, ServerResponse } from "node:http";
import { Readable } from "node:stream";

/**
 * A request's body as the dispatcher reads it. Between the two, because a dispatcher destroys the
 * body it was given, and to destroy an `IncomingMessage` is to lose the client's connection.
 * Nothing is read, and no `100 Continue` sent, before the upstream connection asks for it.
 */
export class RequestBody extends Readable {
  readonly #request: IncomingMessage;
  #continueOn: ServerResponse | null;
  #flowing = false;

  /** @param continueOn the response on which the client waits for `100 Continue`, or null */
  constructor(request: IncomingMessage, continueOn: ServerResponse | null) {
    super({ highWaterMark: 65_536 });
    this.#request = request;
    this.#continueOn = continueOn;
  }

  override _read(): void {
    if (this.#flowing) {
      this.#request.resume();
      return;
    }
    this.#flowing = true;
    this.#continueOn?.writeContinue();
    this.#continueOn = null;
    this.#request
      .on("data", (chunk: Buffer) => {
        if (!this.push(chunk)) this.#request.pause();
      })
      .on("end", () => this.push(null))
      .on("error", (error) => this.destroy(error))
      .on("close", () => {
        if (!this.#request.complete) this.destroy(new Error("the client closed its upload"));
      });
  }

  /** The rest of an upload that nobody reads any more flows away, so that the response gets out. */
  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    if (this.#flowing && !this.#request.destroyed) {
      this.#request.removeAllListeners("data");
      this.#request.resume();
    }
    callback(error);
  }
}
