import { keyIn } from "../../contract/key-in.ts";
import type { GatewayEvent } from "../../contract/gateway-event.ts";

/**
 * Holds events back for a moment and keeps the last handshake for each certificate and origin. Of
 * failures all are kept, for the log of their Worker: `LineShare` bounds them.
 */
export class EventBatch {
  readonly #send: (events: readonly GatewayEvent[]) => void;
  readonly #held: Map<string, GatewayEvent> = new Map();

  #count = 0;

  constructor(send: (events: readonly GatewayEvent[]) => void) {
    this.#send = send;
  }

  add(event: GatewayEvent): void {
    if (this.#held.size === 0) setTimeout(() => this.#flush(), DELAY).unref();
    const { accountId, certificateId, origin, kind } = event;
    const of = event.kind === "failure" ? `${++this.#count}` : "";
    this.#held.set(keyIn(accountId, certificateId, origin, kind, of), event);
  }

  #flush(): void {
    const events = [...this.#held.values()];
    this.#held.clear();
    this.#send(events);
  }
}

/** In ms. */
const DELAY = 200;
