import type { FailureCode } from "../failures/failures.ts";
import type { ProcessPlace } from "../process/place.ts";
import { IngressMetrics } from "./metrics.ts";

/** What the ingress tells of requests, in batches. */
export type IngressEvent =
  /** How long a request took that a Worker's process tells of itself. */
  | { readonly kind: "timing"; readonly script: Script; readonly ray: string; readonly ms: number }
  /** A request that its Worker did not answer. */
  | {
      readonly kind: "failure";
      readonly script: Script;
      readonly ray: string;
      /** Unix time in ms. */
      readonly at: number;
      readonly method: string;
      readonly url: string;
      readonly code: FailureCode;
      readonly ms: number;
    }
  /** A failure of the gateway's that a Worker handed on to its client, who knows it by another ray. */
  | {
      readonly kind: "handed-on";
      readonly script: Script;
      readonly ray: string;
      readonly as: string;
    };

export interface Script {
  readonly accountId: string;
  readonly scriptName: string;
  readonly versionId: string | null;
  /** Its process tells of each call. */
  readonly isTraced: boolean;
}

export interface ObservedRequest {
  readonly ray: string;
  readonly method: string;
  readonly url: string;
}

/** One request of a Worker's, from its beginning to its end. */
export interface Observed {
  /** @param headers flat, as the Worker answered */
  answered(status: number, headers: readonly string[]): void;
  /** Its Worker did not answer. */
  failed(code: FailureCode): void;
  /** In whatever way; once. */
  ended(): void;
}

/** Counts requests, and tells of those that somebody asks for. */
export class IngressObserver {
  readonly metrics: IngressMetrics = new IngressMetrics();
  readonly #send: (events: readonly IngressEvent[]) => void;
  #held: IngressEvent[] = [];
  readonly #shares = new Map<string, { left: number; at: number }>();
  #burst = BURST;
  #perSecond = A_SECOND;

  constructor(send: (events: readonly IngressEvent[]) => void) {
    this.#send = send;
  }

  began(script: Script, { ray, method, url }: ObservedRequest): Observed {
    const count = this.metrics.began(script);
    const startedAt = performance.now();
    let code: FailureCode | null = null;
    let isOver = false;
    return {
      answered: (status, headers) => {
        count.answered(status, performance.now() - startedAt);
        const as = handedOn(headers);
        if (as !== null && as !== ray) this.#tell({ kind: "handed-on", script, ray, as });
      },
      failed: (why) => (code = why),
      ended: () => {
        if (isOver) return;
        isOver = true;
        const ms = performance.now() - startedAt;
        count.ended();
        if (code !== null) {
          count.failed(code);
          this.#failure(script, { ray, method, url, code, ms });
        } else if (script.isTraced) this.#tell({ kind: "timing", script, ray, ms });
      },
    };
  }

  /** Nothing of it could be handed to the Worker. */
  refused(script: Script, request: ObservedRequest, code: FailureCode): void {
    this.metrics.began(script, false).failed(code);
    this.#failure(script, { ...request, code, ms: 0 });
  }

  #failure(
    script: Script,
    { method, url, ...rest }: ObservedRequest & { readonly code: FailureCode; readonly ms: number },
  ): void {
    if (!this.#take(`${script.accountId} ${script.scriptName}`)) return;
    const shown = { method: method.slice(0, 20), url: url.slice(0, LONGEST_URL) };
    this.#tell({ kind: "failure", script, at: Date.now() - rest.ms, ...rest, ...shown });
  }

  /** How many of a Worker's failures are told is dealt out among so many processes. */
  share({ count }: ProcessPlace): void {
    this.#burst = Math.max(1, BURST / count);
    this.#perSecond = A_SECOND / count;
  }

  /** 50 at once and 10 a second of one Worker: metrics count all. */
  #take(id: string): boolean {
    const now = performance.now();
    const share = this.#shares.get(id) ?? { left: this.#burst, at: now };
    if (this.#shares.size > MOST_SHARES) this.#shares.clear();
    this.#shares.set(id, share);
    const since = (now - share.at) / 1000;
    share.left = Math.min(this.#burst, share.left + since * this.#perSecond);
    share.at = now;
    if (share.left < 1) return false;
    share.left -= 1;
    return true;
  }

  #tell(event: IngressEvent): void {
    if (this.#held.length >= MOST_HELD) return;
    if (this.#held.push(event) > 1) return;
    setTimeout(() => {
      const events = this.#held;
      this.#held = [];
      this.#send(events);
    }, DELAY).unref();
  }
}

/** The ray under which the gateway's log has a failure that this response is. */
function handedOn(headers: readonly string[]): string | null {
  let ray: string | null = null;
  let isFailure = false;
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i]!;
    if (name.length === 19 && name.toLowerCase() === "countersign-failure") isFailure = true;
    else if (name.length === 15 && name.toLowerCase() === "countersign-ray") ray = headers[i + 1]!;
  }
  return isFailure && ray !== null && /^[0-9a-f]{16}(-[A-Z]{3})?$/.test(ray) ? ray : null;
}

/** ms */
const DELAY = 100;
const MOST_HELD = 5_000;
const BURST = 50;
const A_SECOND = 10;
const MOST_SHARES = 10_000;
const LONGEST_URL = 2_048;
