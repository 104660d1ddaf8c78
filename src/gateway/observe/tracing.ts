import type { IncomingMessage } from "node:http";
import type { FailureCode } from "../../failures/failures.ts";
import type { GatewayBinding } from "../../contract/gateway.ts";

/** Where spans go. */
export interface Tracing extends AsyncDisposable {
  /**
   * @param origin `https://host[:port]`; what is no URL has a span without a server
   * @param version of the certificate; null where none could be presented
   */
  route(binding: GatewayBinding, origin: string, version: number | null): RouteTracing;
}

/** Begins spans of the requests of one binding to one origin. */
export interface RouteTracing {
  /** A child of the request's `traceparent`, or else a trace of its own. */
  start(request: IncomingMessage): RequestSpan;
}

/** One request's span. It ends once, by `failed` or `ended`. */
export interface RequestSpan {
  /** `traceparent` and `tracestate` for the origin: flat, in place of those that came. */
  readonly headers: readonly string[];
  answered(status: number): void;
  failed(code: FailureCode): void;
  ended(): void;
}

/** Lower case: what a span's own headers replace. */
export const TRACE_HEADERS: ReadonlySet<string> = new Set(["traceparent", "tracestate"]);
