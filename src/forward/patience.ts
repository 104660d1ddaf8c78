import type { Duplex } from "node:stream";
import { errors } from "./undici.ts";
import { type Placed, Unordered } from "./unordered.ts";

/** The connection of a request. Null: there is none yet. */
export interface Via {
  stream: Duplex | null;
}

/** What may be waited for too long. */
export interface Awaited {
  /** Null: its dispatcher does not say. */
  readonly via: Via | null;
  /**
   * What only the other side can give now; its turn on a connection where it has none yet. Null: nothing, because
   * something was given since it was asked before, or because this side holds it up.
   */
  awaits(): "headers" | "body" | "turn" | null;
  timedOut(error: Error): void;
}

/** One that is waited for. */
export interface Wait extends Placed {
  readonly awaited: Awaited;
  /** ms without a sign of the other side, rounded up to looks. */
  silence: number;
}

export interface PatienceLimits {
  /** ms that a response's head may take. */
  readonly headers: number;
  /** ms that may pass between two parts of its body. */
  readonly body: number;
  /** ms until a request goes out: all connections may be taken by others. Default: no limit. */
  readonly turn?: number;
}

/**
 * Time-outs of requests to one origin. undici would make two timers for each request, and keep them
 * for up to a second after it: at 10,000 requests a second that is most of what lives long enough
 * to become old garbage. Here, all are looked at from time to time. The errors are undici's.
 */
export class Patience {
  readonly #limits: Required<PatienceLimits>;
  readonly #every: number;
  readonly #waits = new Unordered<Wait>();
  readonly #late: (error: Error, via: Via) => void;
  #timer: NodeJS.Timeout | null = null;

  /** @param late is told of an error before its request is */
  constructor(limits: PatienceLimits, late: (error: Error, via: Via) => void = () => {}) {
    this.#limits = { turn: Infinity, ...limits };
    this.#late = late;
    this.#every = Math.min(1_000, Math.max(10, Math.min(limits.headers, limits.body) / 4));
  }

  begin(awaited: Awaited): Wait {
    const wait = { awaited, index: 0, silence: 0 };
    this.#waits.add(wait);
    this.#timer ??= setInterval(() => this.#look(), this.#every).unref();
    return wait;
  }

  end(wait: Wait): void {
    this.#waits.remove(wait);
  }

  #look(): void {
    if (this.#waits.all.length === 0) {
      clearInterval(this.#timer!);
      this.#timer = null;
    }
    for (const wait of this.#waits.all.slice()) {
      const { awaited } = wait;
      const awaits = awaited.awaits();
      // The first look may come at once, so its time does not count.
      wait.silence = awaits === null ? 0 : wait.silence + this.#every;
      if (awaits === null || wait.silence - this.#every < this.#limits[awaits]) continue;
      this.end(wait);
      const error = late[awaits]();
      if (awaits !== "turn" && awaited.via !== null) this.#late(error, awaited.via);
      awaited.timedOut(error);
    }
  }
}

const late = {
  headers: () => new errors.HeadersTimeoutError(),
  body: () => new errors.BodyTimeoutError(),
  turn: () => Object.assign(new Error("no connection was free in time"), { code: NO_TURN }),
} as const;

/** Of a request of which nothing was sent: all connections had others. */
export const NO_TURN = "NO_TURN";
