import type { IncomingHttpHeaders } from "node:http";
import type { Duplex } from "node:stream";
import type { Dispatcher } from "undici";
import { asError } from "./guarded.ts";
import type { Via, Wait } from "./patience.ts";

type Controller = Dispatcher.DispatchController;

/** What undici calls for one exchange. */
export interface Handler {
  onRequestStart(controller: Controller): void;
  onResponseStarted(): void;
  onResponseStart(
    controller: Controller,
    status: number,
    headers: IncomingHttpHeaders,
    statusText?: string,
  ): void;
  onResponseData(controller: Controller, chunk: Buffer): void;
  onResponseEnd(): void;
  onResponseError(controller: Controller | null, error: Error): void;
  onRequestUpgrade(
    controller: Controller,
    status: number,
    headers: IncomingHttpHeaders,
    upstream: Duplex,
  ): void;
  /** One of the other handlers threw. This one must not throw. */
  crashed(error: Error): void;
}

/**
 * undici calls its handlers from listeners of the connection that all exchanges on it share, and
 * from the native side. An exception in one handler ends its exchange, and nothing else.
 */
export class GuardedHandler implements Dispatcher.DispatchHandler {
  /** Set by a dispatcher that knows it. */
  via: Via | null = null;
  /** For what the other side gives. Null: nobody waits for that. */
  wait: Wait | null = null;
  readonly #handler: Handler;

  constructor(handler: Handler) {
    this.#handler = handler;
  }

  onRequestStart(controller: Controller): void {
    this.#heard();
    try {
      this.#handler.onRequestStart(controller);
    } catch (error) {
      this.#handler.crashed(asError(error));
    }
  }

  onResponseStarted(): void {
    try {
      this.#handler.onResponseStarted();
    } catch (error) {
      this.#handler.crashed(asError(error));
    }
  }

  onResponseStart(
    controller: Controller,
    status: number,
    headers: IncomingHttpHeaders,
    statusText?: string,
  ): void {
    if (status >= 200) this.#heard();
    try {
      this.#handler.onResponseStart(controller, status, headers, statusText);
    } catch (error) {
      this.#handler.crashed(asError(error));
    }
  }

  onResponseData(controller: Controller, chunk: Buffer): void {
    this.#heard();
    try {
      this.#handler.onResponseData(controller, chunk);
    } catch (error) {
      this.#handler.crashed(asError(error));
    }
  }

  onResponseEnd(): void {
    try {
      this.#handler.onResponseEnd();
    } catch (error) {
      this.#handler.crashed(asError(error));
    }
  }

  onResponseError(controller: Controller | null, cause: Error): void {
    try {
      this.#handler.onResponseError(controller, cause);
    } catch (error) {
      this.#handler.crashed(asError(error));
    }
  }

  onRequestUpgrade(
    controller: Controller,
    status: number,
    headers: IncomingHttpHeaders,
    upstream: Duplex,
  ): void {
    try {
      this.#handler.onRequestUpgrade(controller, status, headers, upstream);
    } catch (error) {
      upstream.destroy(asError(error));
      this.#handler.crashed(asError(error));
    }
  }

  /** The time of the other side begins anew. */
  #heard(): void {
    if (this.wait !== null) this.wait.silence = 0;
  }
}
