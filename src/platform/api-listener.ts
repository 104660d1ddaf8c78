import { getRequestListener } from "@hono/node-server";
import type { Hono } from "hono";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createServer as createSecureServer } from "node:https";
import { isIP, type AddressInfo, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { TLSSocket } from "node:tls";
import type { Logger } from "pino";
import type { ClientBindings } from "../control/api/remote-address.ts";
import { failure } from "../control/api/envelope.ts";
import { listenFailure } from "../network/listen-failure.ts";
import { Failure } from "../failures/failures.ts";
import { SteadyRequest } from "../forward/steady-request.ts";
import { InFlight } from "../forward/in-flight.ts";
import { acceptProxyProtocol } from "../network/connection-sources.ts";
import { Ranges } from "../network/ranges.ts";
import { withinPipeline } from "../network/pipelined.ts";
import { StalledReaders } from "../network/stalled-readers.ts";
import { TlsFloods } from "../network/tls-floods.ts";
import { type ProxyOptions, TrustedProxies } from "../network/trusted-proxies.ts";
import { answerPlain } from "./plain-api.ts";
import type { PairSource } from "./served-pair.ts";

export interface ApiListenerOptions {
  readonly host: string;
  /** 0 takes a free port. */
  readonly port: number;
  /** Null: plain HTTP. With TLS, a client that uses plain HTTP gets an answer that says so. */
  readonly tls: PairSource | null;
  /**
   * The origin to which a browser that came with plain HTTP is redirected. Null: the address on which the API listens.
   */
  readonly publicUrl: string | null;
  /** Allows plain HTTP on an address that others reach: tokens and private keys can be read on the way. */
  readonly unsafePlain: boolean;
  readonly proxies: ProxyOptions;
  readonly log: Logger;
  readonly times?: RequestTimes;
}

export interface RequestTimes {
  /** ms for the head of a request. */
  readonly head: number;
  /** ms for a whole request. A slow upload is cut off after that. */
  readonly all: number;
  /** ms between two checks for late requests. */
  readonly check: number;
  /** ms without a byte taken of an answer, or a tail's messages, that waits for its reader. */
  readonly stalled: number;
}

const TIMES: RequestTimes = { head: 20_000, all: 300_000, check: 10_000, stalled: 300_000 };

/**
 * How long a connection may be idle, ms; the same as at the ingress. It is longer than most clients and proxies keep
 * idle connections, so they do not send a request on a connection that is just being closed.
 */
const KEPT = 75_000;

type App = Hono<{ Bindings: ClientBindings }>;

export interface ApiListener extends AsyncDisposable {
  readonly port: number;
  readonly url: string;
  /** Tokens cross a network unencrypted. */
  readonly isInClear: boolean;
  /** Answers requests in flight with a failure. */
  abandon(): void;
  /** From now on `app` answers, also requests that have waited. */
  serve(app: App): void;
  /** Accepts connections that upgrade from HTTP (WebSockets). Until this is called they are refused. */
  upgrades(handle: (request: IncomingMessage, socket: Duplex, head: Buffer) => void): void;
}

/**
 * The listener of the API and the sign-in pages. The port is taken before the edge starts, because the edge has to keep
 * Workers away from it.
 * @throws Failure `api_in_clear`, `port_in_use`
 */
export async function listenForApi(options: ApiListenerOptions): Promise<ApiListener> {
  const { host, port, tls: pair, log } = options;
  const isInClear = pair === null && !isLoopback(host);
  if (isInClear && !options.unsafePlain) {
    throw new Failure("api_in_clear", {
      message: `the API would listen on ${host} in plain HTTP`,
      facts: { host },
    });
  }
  await using stack = new AsyncDisposableStack();
  const app = Promise.withResolvers<App>();
  const answer = getRequestListener(async (request, env) =>
    (await app.promise).fetch(request, withClient(env as ClientBindings)),
  );
  const inFlight = new InFlight();
  const handle = withinPipeline((request, response) => {
    inFlight.add(request, response);
    void answer(request, response);
  });
  const { head, all, check, stalled } = options.times ?? TIMES;
  const times = {
    headersTimeout: head,
    requestTimeout: all,
    connectionsCheckingInterval: check,
    keepAliveTimeout: KEPT,
  };
  const steady = { ...times, IncomingMessage: SteadyRequest };
  const server: Server = pair
    ? createSecureServer({ ...pair.current, ...steady }, handle)
    : createServer(steady, handle);
  const secure = (): string => options.publicUrl ?? url();
  const floods = new TlsFloods();
  server.on("secureConnection", (socket) => floods.watch(socket as TLSSocket));
  const readers = new StalledReaders(stalled);
  server.on(pair ? "secureConnection" : "connection", (socket: Socket) =>
    readers.connection(socket),
  );
  const plain = pair === null ? null : answerPlain(server, { times, secure, log });
  const proxies = new TrustedProxies(options.proxies);
  const peerOf = acceptProxyProtocol(server, proxies);
  const withClient = (env: ClientBindings): ClientBindings => ({
    ...env,
    client: proxies.client(peerOf(env.incoming), env.incoming.headers),
  });
  pair?.renews((renewed) =>
    (server as ReturnType<typeof createSecureServer>).setSecureContext(renewed),
  );
  await new Promise<void>((resolve, reject) => {
    server.once("error", (cause: NodeJS.ErrnoException) =>
      reject(listenFailure("the API", { host, port }, cause)),
    );
    server.listen(port, host, resolve);
  });
  stack.defer(() => close(server));
  stack.use(plain);
  const taken = (server.address() as AddressInfo).port;
  const url = (): string =>
    `${pair ? "https" : "http"}://${host.includes(":") ? `[${host}]` : host}:${taken}`;
  const opened = stack.move();
  return {
    port: taken,
    url: url(),
    isInClear,
    serve: app.resolve,
    upgrades: (take) => void server.on("upgrade", take),
    abandon: () => inFlight.end((_, response) => void refuse(response, log)),
    [Symbol.asyncDispose]: () => opened.disposeAsync(),
  };
}

const loopback = new Ranges(["127.0.0.0/8", "::1"]);

function isLoopback(host: string): boolean {
  return isIP(host) === 0 ? host === "localhost" : loopback.has(host);
}

async function refuse(response: ServerResponse, log: Logger): Promise<void> {
  const failed = failure(new Failure("platform_replaced"), log);
  const body = await failed.text();
  response.writeHead(failed.status, Object.fromEntries(failed.headers)).end(body);
}

/** Answers requests in flight, for ten seconds at most. */
function close(server: Server): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => server.closeAllConnections(), 10_000);
    // Idle connections are closed now, the others as soon as they are idle.
    const sweep = setInterval(() => server.closeIdleConnections(), 50);
    server.close(() => {
      clearTimeout(timer);
      clearInterval(sweep);
      resolve();
    });
    server.closeIdleConnections();
  });
}
