import { setTimeout as delay } from "node:timers/promises";
import type { buildConnector } from "undici";
import { makeConnector, Pool } from "../forward/undici.ts";
import { MOST_HEADERS } from "../forward/limits.ts";

export interface UpstreamOptions {
  /** ms that a request waits for its Worker to come back. Default: a moment. */
  readonly patience?: number | undefined;
  /** Has the process started if it is idle. True: it was, and runs now. Default: it never is. */
  readonly wake?: (socket: string) => Promise<boolean>;
}

/** One process of a Worker, as the ingress reaches it. */
export class Upstream {
  readonly socket: string;
  readonly dispatcher: Pool;
  readonly #connect: buildConnector.connector;
  readonly #patience: number;
  readonly #wake: UpstreamOptions["wake"] | null;
  /** Many requests wait for one start. */
  #waking: Promise<boolean> | null = null;
  readonly #retired = new AbortController();
  /** As `performance.now()`. Null: it was there when it was last looked for. */
  #goneSince: number | null = null;
  #isLooking = false;
  #inFlight = 0;
  #lastUsed = 0;

  /** @param socket relative to the working directory */
  constructor(socket: string, { patience = PATIENCE, wake }: UpstreamOptions = {}) {
    this.socket = socket;
    this.#patience = patience;
    this.#wake = wake ?? null;
    this.#connect = makeConnector({ socketPath: socket, timeout: 1000 });
    this.dispatcher = new Pool("http://worker", {
      connect: (options, callback) => this.#connectPatiently(options, callback),
      // A Worker may stream for as long as its client listens.
      headersTimeout: 0,
      bodyTimeout: 0,
      maxHeaderSize: MOST_HEADERS,
    });
  }

  /** The process is not there: a request for it would wait, or fail. */
  get isGone(): boolean {
    return this.#goneSince !== null;
  }

  /** Notices when the process is back, although it gets no requests while it is away. */
  lookAgain(): void {
    if (this.#isLooking) return;
    this.#isLooking = true;
    this.#connect(NOWHERE, (error, socket) => {
      this.#isLooking = false;
      if (error === null) this.#goneSince = null;
      socket?.destroy();
    });
  }

  /** How many it has, waiting ones too. */
  get requests(): number {
    return this.dispatcher.stats.size;
  }

  /** A request goes to it. */
  began(): void {
    this.#inFlight++;
  }

  /** A request has ended, in whatever way. */
  finished(): void {
    this.#inFlight--;
    this.#lastUsed = performance.now();
  }

  /** ms since the last request ended. 0: one goes on, or a WebSocket. */
  get idleFor(): number {
    return this.#inFlight > 0 ? 0 : performance.now() - this.#lastUsed;
  }

  /** Resolves when the last request has ended. */
  async retire(): Promise<void> {
    this.#retired.abort();
    await this.dispatcher.close();
  }

  /**
   * A request waits in its pool while this connects: nothing of it was sent, so a Worker that is
   * started again right after a crash gets it once. A Worker that has been gone for longer than
   * that is refused at once, but still tried.
   */
  #connectPatiently(
    options: buildConnector.Options,
    callback: (...result: Connected) => void,
  ): void {
    this.#connect(options, (...result: Connected) => {
      if (result[0] === null) {
        this.#goneSince = null;
        callback(...result);
        return;
      }
      void this.#wakeOrWait(options, callback, result);
    });
  }

  /** One that is idle is started, however long that takes. */
  async #wakeOrWait(
    options: buildConnector.Options,
    callback: (...result: Connected) => void,
    result: Connected,
  ): Promise<void> {
    if (await this.#isWoken()) {
      this.#goneSince = null;
      this.#connectPatiently(options, callback);
      return;
    }
    this.#goneSince ??= performance.now();
    const goneFor = performance.now() - this.#goneSince;
    if (this.#retired.signal.aborted || goneFor > this.#patience) callback(...result);
    else void delay(PAUSE).then(() => this.#connectPatiently(options, callback));
  }

  async #isWoken(): Promise<boolean> {
    if (!this.#wake) return false;
    this.#waking ??= this.#wake(this.socket)
      .catch(() => false)
      .finally(() => (this.#waking = null));
    return this.#waking;
  }
}

type Connected = Parameters<buildConnector.Callback>;

const PATIENCE = 1_500;
const PAUSE = 25;
/** Options that a connector requires. With a Unix socket it uses none of them. */
const NOWHERE: buildConnector.Options = { hostname: "worker", protocol: "http:", port: "" };
