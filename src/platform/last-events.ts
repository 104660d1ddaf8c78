import { setTimeout as wait } from "node:timers/promises";
import type { Logger } from "pino";
import type { GatewayEvent } from "../contract/gateway-event.ts";
import { recordEvent } from "../store/certificates/certificate-events.ts";
import type { Store } from "../store/store.ts";

/**
 * Stores the latest event of each kind for each certificate at an origin. Events are held for a moment, and only the
 * latest is written, so traffic puts no load on the database.
 */
export class LastEvents implements AsyncDisposable {
  readonly #store: Store;
  readonly #log: Logger;
  readonly #interval: number;
  readonly #held: Map<string, GatewayEvent> = new Map();
  readonly #stop = new AbortController();
  #writing: Promise<void> | null = null;

  /** @param interval how long events are held, ms. Default: 1,000 */
  constructor({ store, log, interval = 1000 }: LastEventsOptions) {
    this.#store = store;
    this.#log = log;
    this.#interval = interval;
  }

  record(event: GatewayEvent): void {
    const { certificateId, kind } = event;
    const key = `${kind} ${certificateId}`;
    const held = this.#held.get(key);
    // Several processes report their events, with different delays.
    if (held === undefined || held.at <= event.at) this.#held.set(key, event);
    this.#writing ??= this.#writeSoon();
  }

  /** Writes the events that it holds. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#writing;
  }

  async #writeSoon(): Promise<void> {
    await wait(this.#interval, undefined, { signal: this.#stop.signal }).catch(() => {});
    this.#writing = null;
    const events = [...this.#held.values()];
    this.#held.clear();
    try {
      await this.#store.housekeep(async ({ db }) => {
        for (const event of events) await recordEvent(db, rowOf(event));
      });
    } catch (err) {
      this.#log.error({ err }, "what last happened to certificates was not written down");
    }
  }
}

export interface LastEventsOptions {
  readonly store: Store;
  readonly log: Logger;
  readonly interval?: number;
}

function rowOf(event: GatewayEvent): Parameters<typeof recordEvent>[1] {
  const { certificateId, kind, at, origin } = event;
  const body =
    event.kind === "failure"
      ? { origin, code: event.code, message: event.message }
      : { origin, version: event.version, tlsVersion: event.tlsVersion, asked: event.asked };
  return { certificateId, kind, at, body: JSON.stringify(body) };
}
