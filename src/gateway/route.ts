import type { Patience } from "../forward/patience.ts";
import type { IncomingMessage, ServerResponse } from "node:http";
import { performance } from "node:perf_hooks";
import type { Dispatcher } from "undici";
import type { Failure } from "../failures/failures.ts";
import type { Attempt, ForwardTarget } from "../forward/forward.ts";
import { mayBeCompressed } from "./origin/accept-encoding.ts";
import { refusesCertificate, type Acceptance } from "./accepted.ts";
import type { OriginPool } from "./origin/pool.ts";
import type { ShownDetails } from "../failures/rendered.ts";
import { FAILURE_HEADER, RAY_HEADER, rayOf, respondWithFailure } from "./respond.ts";
import { TRACE_HEADERS, type RequestSpan, type RouteTracing } from "./observe/tracing.ts";

/** The route from one binding to one origin. It is replaced if anything about it changes. */
export interface Route {
  readonly pool: OriginPool;
  readonly traffic: BindingCounts;
  /** Null: no spans. */
  readonly tracing: RouteTracing | null;
  readonly acceptance: Acceptance;
  /** Unix time in ms: the certificate's end. */
  readonly until: number;
  /** Before an origin: what `CDN-Loop` calls it (RFC 8586). Null: it is a Worker's. */
  readonly front: string | null;
  /** For a request that says nothing of encodings: flat, name and value. Null: nothing. */
  readonly encodings: readonly string[] | null;
  /**
   * Set by each use, and cleared by each sweep. A route that is still clear at the next sweep is
   * not in use.
   */
  used: boolean;
}

/** What went through a binding. Numbers only: they are counted for every request. */
export interface BindingCounts {
  answered(status: number, ms: number): void;
  /** @param ray names the request in the log and in what its client sees */
  failed(failure: Failure, origin: string | null, ray?: string): void;
  /** What bodies of failures say. */
  readonly details: ShownDetails;
}

/** One request on its way. */
export class RoutedRequest implements ForwardTarget {
  readonly path: string;
  /** The client's `Host` before an origin. Null: the URL says it; a header of the Worker's does not. */
  readonly host: null | undefined;
  readonly expectsContinue: boolean;
  dropped: ReadonlySet<string> | undefined = undefined;
  added: readonly string[] | undefined = undefined;
  readonly #route: Route;
  readonly #isUpgrade: boolean;
  #needsHttp1: boolean;
  readonly #startedAt: number = performance.now();
  #span: RequestSpan | null = null;

  constructor(route: Route, path: string, how: "request" | "continue" | "upgrade") {
    this.#route = route;
    this.path = path;
    this.host = route.front === null ? null : undefined;
    this.expectsContinue = how === "continue";
    this.#isUpgrade = how === "upgrade";
    // WebSockets are upgraded from it.
    this.#needsHttp1 = this.#isUpgrade;
  }

  get dispatcher(): Dispatcher {
    const { pool } = this.#route;
    return this.#needsHttp1 ? pool.http1Dispatcher : pool.dispatcher;
  }

  get patience(): Patience {
    return this.#route.pool.patience;
  }

  /**
   * Begins its span, where there are spans: the origin is told of that, not of its parent. Asks for
   * what the Worker's runtime decodes.
   */
  prepared(request: IncomingMessage): this {
    const { tracing, encodings } = this.#route;
    if (encodings !== null && !this.#needsHttp1 && mayBeCompressed(request)) this.added = encodings;
    if (request.rawHeaders.some(({ length }) => length > MOST_HTTP2_VALUE)) this.#needsHttp1 = true;
    if (this.#route.front !== null) this.added = ["cdn-loop", this.#route.front];
    if (tracing !== null) {
      this.#span = tracing.start(request);
      this.dropped = TRACE_HEADERS;
      this.added =
        this.added === undefined ? this.#span.headers : [...this.#span.headers, ...this.added];
    }
    return this;
  }

  failed(error: Error, request: IncomingMessage, response: ServerResponse): void {
    const failure = this.#route.pool.failure(error);
    const { traffic, acceptance, pool } = this.#route;
    const shown = { details: traffic.details, ray: rayOf(request) };
    traffic.failed(failure, pool.scope.origin, shown.ray);
    this.#span?.failed(failure.code);
    if (refusesCertificate(failure)) {
      void explain(acceptance.explain(failure, pool.scope), (explained) => {
        respondWithFailure(explained, request, response, shown);
      });
    } else respondWithFailure(failure, request, response, shown);
  }

  answered(status: number, headers: string[]): void {
    this.#route.traffic.answered(status, performance.now() - this.#startedAt);
    this.#span?.answered(status);
    // Only the gateway may set its failure headers.
    for (let i = headers.length - 2; i >= 0; i -= 2) {
      const name = headers[i]!;
      if (name === FAILURE_HEADER || name === RAY_HEADER) headers.splice(i, 2);
    }
  }

  ended(error: Error | null): void {
    if (error === null || (error as NodeJS.ErrnoException).code === "CLIENT_GONE") {
      this.#span?.ended();
      return;
    }
    const { pool, traffic } = this.#route;
    const failure = pool.failure(error, this.#isUpgrade ? "midway" : "answering");
    traffic.failed(failure, pool.scope.origin);
    this.#span?.failed(failure.code);
  }

  mayRetry(error: Error, attempt: Attempt): boolean {
    return this.#route.pool.mayRetry(error, attempt);
  }
}

/** Bytes of a header's value: HTTP/2 libraries take 64 KB at most (nghttp2: `NGHTTP2_HD_MAX_NV`). */
const MOST_HTTP2_VALUE = 65_000;

async function explain(
  explained: Promise<Failure>,
  respond: (failure: Failure) => void,
): Promise<void> {
  respond(await explained);
}

/** An absolute URL, as workerd writes it into the request line, taken apart without parsing it. */
export function splitUrl(url: string): { origin: string; path: string } {
  const start = url.indexOf("://") + 3;
  for (let i = start; i < url.length; i += 1) {
    const char = url.charCodeAt(i);
    if (char === SLASH) return { origin: url.slice(0, i), path: url.slice(i) };
    if (char === QUESTION) return { origin: url.slice(0, i), path: `/${url.slice(i)}` };
  }
  return { origin: url, path: "/" };
}

const SLASH = 47;
const QUESTION = 63;
