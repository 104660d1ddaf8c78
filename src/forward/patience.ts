import { errors } from "undici";

/** What may be waited for too long. */
export interface Awaited {
  /**
   * What only the other side can give now. Null: nothing, because it has just given something, or
   * because this side holds it up.
   */
  readonly awaits: "headers" | "body" | null;
  timedOut(error: Error): void;
}

/** One that is waited for. */
export interface Wait {
  readonly awaited: Awaited;
  index: number;
  /** ms without a sign of the other side, rounded up to looks. */
  silence: number;
}

export interface PatienceLimits {
  /** ms that a response's head may take. */
  readonly headers: number;
  /** ms that may pass between two parts of its body. */
  readonly body: number;
}

/**
 * Time-outs of requests to one origin. undici would make two timers for each request, and keep them
 * for up to a second after it: at 10,000 requests a second that is most of what lives long enough
 * to become old garbage. Here, all are looked at from time to time. The errors are undici's.
 */
export class Patience {
  readonly #limits: PatienceLimits;
  readonly #every: number;
  readonly #all: Wait[] = [];
  #timer: NodeJS.Timeout | null = null;

  constructor(limits: PatienceLimits) {
    this.#limits = limits;
    this.#every = Math.min(1_000, Math.max(10, Math.min(limits.headers, limits.body) / 4));
  }

  begin(awaited: Awaited): Wait {
    const wait = { awaited, index: this.#all.length, silence: 0 };
    this.#all.push(wait);
    this.#timer ??= setInterval(() => this.#look(), this.#every).unref();
    return wait;
  }

  /** The last one takes its place. Nothing happens the second time. */
  end(wait: Wait): void {
    if (this.#all[wait.index] !== wait) return;
    const last = this.#all.pop()!;
    if (last === wait) return;
    last.index = wait.index;
    this.#all[wait.index] = last;
  }

  #look(): void {
    if (this.#all.length === 0) {
      clearInterval(this.#timer!);
      this.#timer = null;
    }
    for (const wait of this.#all.slice()) {
      const { awaits } = wait.awaited;
      // The first look may come at once, so its time does not count.
      wait.silence = awaits === null ? 0 : wait.silence + this.#every;
      if (awaits === null || wait.silence - this.#every < this.#limits[awaits]) continue;
      this.end(wait);
      wait.awaited.timedOut(
        awaits === "headers" ? new errors.HeadersTimeoutError() : new errors.BodyTimeoutError(),
      );
    }
  }
}
