import type { IncomingMessage, ServerResponse } from "node:http";
import type { Duplex } from "node:stream";

/** A request that a server works on. */
interface InProgress {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  /** Where it is among all. */
  index: number;
}

/**
 * The requests that a server works on.
 *
 * An array, and not a Map: V8 replaces the table of a Map again and again while entries come and
 * go, all in its old generation once the Map is there, and each dead table keeps the requests that
 * it had until the whole heap is collected. See decisions/0108-garbage-of-requests.md.
 */
export class InFlight {
  readonly #all: InProgress[] = [];

  add(request: IncomingMessage, response: ServerResponse): void {
    const added = { request, response, index: this.#all.length };
    this.#all.push(added);
    response.once("close", () => this.#remove(added));
  }

  /** The last one takes its place. */
  #remove(gone: InProgress): void {
    const last = this.#all.pop()!;
    if (last === gone) return;
    last.index = gone.index;
    this.#all[gone.index] = last;
  }

  /** The request in progress on this connection. */
  on(
    socket: Duplex,
  ): { readonly request: IncomingMessage; readonly response: ServerResponse } | null {
    const found = this.#all.find(({ response }) => response.socket === socket);
    return found === undefined ? null : { request: found.request, response: found.response };
  }

  /**
   * Answers each request that has no answer yet, and cuts the others, so that no truncated body
   * ends cleanly.
   */
  end(answer: (request: IncomingMessage, response: ServerResponse) => void): void {
    for (const { request, response } of this.#all.slice()) {
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
