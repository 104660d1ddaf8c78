import type { IncomingMessage, ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import { type Placed, Unordered } from "./unordered.ts";

/** A request that a server works on. */
interface InProgress extends Placed {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
}

/** The requests that a server works on. */
export class InFlight {
  readonly #requests = new Unordered<InProgress>();

  add(request: IncomingMessage, response: ServerResponse): void {
    const added = { request, response, index: 0 };
    this.#requests.add(added);
    response.once("close", () => this.#requests.remove(added));
  }

  /** The request in progress on this connection. */
  on(
    socket: Duplex,
  ): { readonly request: IncomingMessage; readonly response: ServerResponse } | null {
    const found = this.#requests.all.find(({ response }) => response.socket === socket);
    return found === undefined ? null : { request: found.request, response: found.response };
  }

  /**
   * Answers each request that has no answer yet, and cuts the others, so that no truncated body
   * ends cleanly.
   */
  end(answer: (request: IncomingMessage, response: ServerResponse) => void): void {
    for (const { request, response } of this.#requests.all.slice()) {
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
