import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { performance } from "node:perf_hooks";
import type { Duplex } from "node:stream";
import type { Ending } from "./origin/classify.ts";
import { Failure, type FailureCode } from "../failures/failures.ts";
import { asError, guarded } from "../forward/guarded.ts";
import { forward, forwardUpgrade } from "../forward/forward.ts";
import { SteadyRequest } from "../forward/steady-request.ts";
import { responseOn } from "../forward/sockets.ts";
import {
  CONNECTION_BUFFER,
  HEADER_BUFFER,
  headerSize,
  MOST_HEADERS,
  MOST_URL,
} from "../forward/limits.ts";
import { answerUnread } from "../forward/unread.ts";
import { InFlight } from "../forward/in-flight.ts";
import { withinPipeline } from "../network/pipelined.ts";
import type { GatewayBinding } from "../contract/gateway.ts";
import type { Clock } from "./clock.ts";
import { frontUrl, loopIn } from "./front.ts";
import { endTelling, join } from "./join.ts";
import { RecentFailures } from "./observe/recent-failures.ts";
import { rayOf, respondWithFailure, unreadFailure, type ShownFailure } from "./respond.ts";
import { RoutedRequest, splitUrl, type Route, type BindingCounts } from "./route.ts";
import { openStream, StreamClient } from "./stream.ts";
import { UsedRoutes } from "./used-routes.ts";
import type { RouteTracing } from "./observe/tracing.ts";
import { listenAtSocket, type Listening } from "./unix-socket.ts";

/** What a binding needs of the gateway. */
export interface Router {
  /** @param origin `https://host[:port]`, as written. @throws Failure if it may not be reached now */
  route(origin: string): Route;
  release(route: Route): void;
  readonly traffic: BindingCounts;
  /** For requests that have no route. Null: no spans. */
  tracing(origin: string): RouteTracing | null;
  /**
   * Counts another `connect()` of this Worker. Null: it has reached its limit. Otherwise call the
   * result when the connection ends.
   */
  stream(): (() => void) | null;
  /**
   * Counts another connection to a binding of this Worker. Null: the Worker, or its account, has
   * reached its limit. Otherwise call the result when the connection ends.
   */
  connection(): (() => void) | null;
  /** Connections that the binding may have. */
  readonly mostConnections: number;
  /** What `recentFailure` says in the processes that share the socket. Null: there are none. */
  readonly askOthers: ((url: string) => Promise<Failure | null>) | null;
  readonly clock: Clock;
}

/**
 * One binding's Unix socket. A program that can connect to it can present the certificate; nothing
 * else is checked.
 */
export class BindingSocket {
  readonly binding: GatewayBinding;
  readonly #router: Router;
  readonly #server: Server;
  readonly #tunnels: Set<Duplex> = new Set();
  readonly #inFlight: InFlight = new InFlight();
  readonly #routes: UsedRoutes;
  readonly #recent: RecentFailures;
  #connections = 0;
  /** What is asked over them is refused. */
  readonly #excessive: WeakSet<Duplex> = new WeakSet();
  #closing = false;

  constructor(binding: GatewayBinding, router: Router) {
    this.binding = binding;
    this.#router = router;
    this.#routes = new UsedRoutes(router);
    this.#recent = new RecentFailures(() => router.clock.now());
    const answered = withinPipeline((request, response) =>
      this.#answer(request, response, "request"),
    );
    this.#server = createServer(
      // The peer is this machine's workerd. It uses a connection again within 5 s or not at all.
      {
        IncomingMessage: SteadyRequest,
        requireHostHeader: false,
        maxHeaderSize: HEADER_BUFFER,
        highWaterMark: CONNECTION_BUFFER,
        keepAliveTimeout: IDLE,
        headersTimeout: 0,
        requestTimeout: 0,
        shouldUpgradeCallback: ({ headers }) => headers.upgrade?.toLowerCase() === "websocket",
      },
      answered,
    );
    this.#server.maxHeadersCount = 0;
    this.#server.on("connection", (socket) => {
      this.#connections += 1;
      const giveBack = router.connection();
      if (giveBack === null) this.#excessive.add(socket);
      socket.once("close", () => {
        this.#connections -= 1;
        giveBack?.();
      });
    });
    this.#server.on(
      "checkContinue",
      withinPipeline((request, response) => this.#answer(request, response, "continue")),
    );
    this.#server.on("upgrade", (request, socket, head) => {
      guarded(socket, () => this.#upgrade(request, socket, head))();
    });
    this.#server.on("checkExpectation", answered);
    this.#server.on("clientError", (error, socket) => {
      guarded(socket, () => answerUnread(error, socket, this.#inFlight, unreadFailure))();
    });
    this.#server.on("connect", (request, socket, head) => {
      this.#connect(request, socket, head).catch((error: unknown) =>
        socket.destroy(asError(error)),
      );
    });
  }

  /** Resolves when the socket accepts connections. */
  listen(at: Listening = this.binding.socketPath): Promise<void> {
    return listenAtSocket(this.#server, at);
  }

  /** Something that routes depend on has changed: each route is looked up again. */
  refresh(): void {
    this.#routes.refresh();
  }

  /** The same, with connections made before. */
  prepareAndRefresh(until: number): Promise<void> {
    return this.#routes.prepareAndRefresh(until);
  }

  /** Lets go of routes that no request has used since the last sweep. */
  sweep(): void {
    this.#routes.sweep();
  }

  /** Why a `connect()` failed here lately, as it is asked for. */
  recentFailure(url: string): Failure | null {
    return this.#recent.asked(url) ?? null;
  }

  /** Accepts no new connection, lets requests in flight end for `drain` ms, closes, unlinks. */
  async close(drain: number): Promise<void> {
    this.#closing = true;
    const callOff = this.#router.clock.after(drain, () => this.#destroy());
    // A connection that becomes idle from now on would stay open for the next request.
    const idle = setInterval(() => this.#server.closeIdleConnections(), 20);
    // Tunnels are its connections, too.
    await new Promise<void>((fulfil) => this.#server.close(() => fulfil()));
    clearInterval(idle);
    callOff();
    this.#routes.releaseAll();
  }

  /** The process ends: requests in flight get `failure`, or are cut if their answer has begun. */
  abandon(failure: Failure): void {
    this.#inFlight.end((request, response) => {
      respondWithFailure(failure, request, response, this.#shown(request));
    });
    for (const tunnel of this.#tunnels) tunnel.destroy();
  }

  /** An exception here ends this request, and not the process that all bindings share. */
  #answer(request: IncomingMessage, response: ServerResponse, how: "request" | "continue"): void {
    try {
      this.#fetch(request, response, how);
    } catch (error) {
      if (response.headersSent) response.destroy(asError(error));
      else {
        const failure = new Failure("internal", { cause: error });
        respondWithFailure(failure, request, response, this.#shown(request));
      }
    }
  }

  #fetch(request: IncomingMessage, response: ServerResponse, how: "request" | "continue"): void {
    response.sendDate = false;
    this.#inFlight.add(request, response);
    if (this.#closing || this.#excessive.has(request.socket)) response.shouldKeepAlive = false;
    const recent = this.binding.front ? undefined : this.#recent.asked(request.url!);
    if (recent !== undefined) {
      const { askOthers } = this.#router;
      if (recent !== null || askOthers === null) this.#tellRecent(recent, request, response);
      else {
        void askOthers(request.url!)
          .catch(() => null)
          .then((theirs) => this.#tellRecent(theirs, request, response));
      }
      return;
    }
    const { origin, path } = this.#wanted(request);
    const route = this.#routeTo(origin, request, (failure, shown) =>
      respondWithFailure(failure, request, response, shown),
    );
    if (route === null) return;
    forward(request, response, new RoutedRequest(route, path, how).prepared(request));
  }

  #tellRecent(recent: Failure | null, request: IncomingMessage, response: ServerResponse): void {
    if (recent === null) response.writeHead(204).end();
    else respondWithFailure(recent, request, response, this.#shown(request));
  }

  #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    this.#track(socket);
    const { origin, path } = this.#wanted(request);
    const route = this.#routeTo(origin, request, (failure, shown) => {
      respondWithFailure(failure, request, responseOn(socket, request), shown);
    });
    if (route === null) return;
    const target = new RoutedRequest(route, path, "upgrade").prepared(request);
    forwardUpgrade(request, socket, head, target);
  }

  async #connect(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    const startedAt = performance.now();
    this.#track(socket);
    const asked = `https://${request.url}`;
    const fail = (failure: Failure, shown: ShownFailure): void => {
      this.#recent.add(asked, failure);
      respondWithFailure(failure, request, responseOn(socket, request), shown);
    };
    const route = this.#routeTo(asked, request, fail);
    if (route === null) return;
    const { pool } = route;
    const span = route.tracing?.start(request) ?? null;
    const shown = this.#shown(request);
    /** In the Worker's log, and kept for a Worker that asks. */
    const failed = (error: Error, ending?: Ending): Failure => {
      const failure = pool.failure(error, ending);
      this.#recent.add(asked, failure);
      this.#router.traffic.failed(failure, pool.scope.origin, shown.ray);
      span?.failed(failure.code);
      return failure;
    };
    const giveBack = this.#router.stream();
    if (giveBack === null) {
      fail(failed(new Failure("connect_streams_exhausted")), shown);
      return;
    }
    socket.once("close", giveBack);
    if (head.length > 0) socket.unshift(head);
    const client = new StreamClient(socket, () => {
      this.#router.traffic.answered(200, performance.now() - startedAt);
      span?.answered(200);
    });
    const tell = (failure: Failure): Buffer | null => client.tell?.(failure) ?? null;
    let upstream: Duplex | null = null;
    const idle = pool.options.timeouts.stream;
    (socket as Socket).setTimeout(idle, () => {
      const message = `nothing was sent over the connection to ${pool.scope.origin} for ${idle} ms`;
      const failure = new Failure("connect_idle", { message });
      if (upstream === null) socket.destroy(failed(failure));
      else upstream.destroy(failure);
    });
    try {
      upstream = await openStream(client, pool);
    } catch (error) {
      const failure = failed(asError(error));
      const bytes = client.accepted ? tell(failure) : null;
      if (!client.accepted) fail(failure, shown);
      else if (bytes === null) socket.destroy();
      else endTelling(socket, bytes);
      return;
    }
    if (span !== null) upstream.once("close", () => span.ended());
    const origin = upstream;
    join(socket, origin, {
      failed: (error, hasSpoken) => {
        const failure = failed(error, hasSpoken ? "midway" : silent(origin));
        return hasSpoken ? null : tell(failure);
      },
      silent: () => tell(failed(pool.endedFailure(origin, silent(origin)))),
    });
  }

  #wanted(request: IncomingMessage): { readonly origin: string; readonly path: string } {
    const { front } = this.binding;
    return front === undefined ? splitUrl(request.url!) : frontUrl(request, front.port);
  }

  #routeTo(
    origin: string,
    request: IncomingMessage,
    fail: (failure: Failure, shown: ShownFailure) => void,
  ): Route | null {
    const tooMuch = this.#excess(request) ?? loopIn(this.binding, request);
    if (tooMuch !== null) {
      const failure = new Failure(tooMuch);
      const shown = this.#shown(request);
      this.#router.traffic.failed(failure, null, shown.ray);
      fail(failure, shown);
      return null;
    }
    try {
      return this.#routes.to(origin);
    } catch (error) {
      const failure = error instanceof Failure ? error : new Failure("internal", { cause: error });
      const shown = this.#shown(request);
      this.#router.traffic.failed(failure, null, shown.ray);
      this.#router.tracing(origin)?.start(request).failed(failure.code);
      fail(failure, shown);
      return null;
    }
  }

  #excess({ rawHeaders, url, socket }: IncomingMessage): FailureCode | null {
    if (this.#connections > this.#router.mostConnections || this.#excessive.has(socket)) {
      return "binding_connections_exhausted";
    }
    if (url!.length > MOST_URL + MOST_AUTHORITY) return "binding_url_too_long";
    return headerSize(rawHeaders) > MOST_HEADERS ? "binding_headers_too_large" : null;
  }

  #shown(request: IncomingMessage): ShownFailure {
    return { details: this.#router.traffic.details, ray: rayOf(request) };
  }

  #track(socket: Duplex): void {
    this.#tunnels.add(socket);
    // If the Worker goes away while a connection is being opened, this is noticed once it is open.
    socket.on("error", () => socket.destroy());
    socket.once("close", () => this.#tunnels.delete(socket));
  }

  #destroy(): void {
    this.#server.closeAllConnections();
    for (const tunnel of this.#tunnels) tunnel.destroy();
  }
}

/** Of a connection to an origin that has sent nothing. */
function silent(origin: Duplex): Ending {
  return (origin as Socket).bytesWritten > 0 ? "silent" : "unused";
}

/** ms */
const IDLE = 10_000;
/** `https://`, a name of 253 bytes and a port */
const MOST_AUTHORITY = 270;
