import type { IncomingMessage, ServerResponse } from "node:http";
import type { Duplex } from "node:stream";

/** The requests that a server works on. */
export class InFlight {
  readonly #responses = new Map<ServerResponse, IncomingMessage>();

  add(request: IncomingMessage, response: ServerResponse): void {
    this.#responses.set(response, request);
    response.once("close", () => this.#responses.delete(response));
  }

  /** The request in progress on this connection. */
  on(
    socket: Duplex,
  ): { readonly request: IncomingMessage; readonly response: ServerResponse } | null {
    for (const [response, request] of this.#responses) {
      if (response.socket === socket) return { request, response };
    }
    return null;
  }

  /**
   * Answers each request that has no answer yet, and cuts the others, so that no truncated body
   * ends cleanly.
   */
  end(answer: (request: IncomingMessage, response: ServerResponse) => void): void {
    for (const [response, request] of this.#responses) {
      response.shouldKeepAlive = false;
      try {
        if (response.headersSent) response.destroy();
        else answer(request, response);
      } catch {
        response.destroy();
      }
    }
  }
}
