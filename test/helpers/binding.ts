import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { duplexPair, type Duplex } from "node:stream";
import type { TestContext } from "node:test";
import type { Dispatcher } from "undici";
import type { GatewayBinding } from "../../src/contract/gateway.ts";
import { Failure } from "../../src/failures/failures.ts";
import { BindingSocket, type Router } from "../../src/gateway/binding.ts";
import type { RouteTracing } from "../../src/gateway/observe/tracing.ts";
import type { Route } from "../../src/gateway/route.ts";
import { FakeClock } from "./fake-clock.ts";

export interface TestBinding {
  readonly socket: BindingSocket;
  readonly path: string;
  readonly clock: FakeClock;
  /** What was reported of its requests and connections, in order. */
  readonly told: unknown[][];
  /** The origins whose routes were given back. */
  readonly released: string[];
}

export interface TestBindingOptions {
  readonly binding?: Partial<GatewayBinding>;
  readonly router?: Partial<Router>;
  readonly pool?: object;
  readonly route?: Partial<Route>;
  /** The origin. Default: 204 without a body. */
  readonly answer?: (handler: Dispatcher.DispatchHandler, options: Sent) => unknown;
}

export type Sent = Dispatcher.DispatchOptions & {
  readonly headers: readonly string[];
  /** As the binding named it. */
  readonly origin: string;
};

/** A binding's real socket, without a network behind it. */
export async function testBinding(
  t: Pick<TestContext, "after">,
  { binding = {}, router = {}, route = {}, pool = {}, answer = answered() }: TestBindingOptions,
): Promise<TestBinding> {
  const folder = await mkdtemp(join(tmpdir(), "countersign-binding-"));
  const told: unknown[][] = [];
  const released: string[] = [];
  const clock = new FakeClock(0);
  const traffic: Router["traffic"] = {
    details: "public",
    answered: (status, ms) => void told.push(["answered", status, ms >= 0 && ms < 60_000]),
    failed: (failure, ...rest) => void told.push([failure.code, ...rest]),
  };
  const tracing: RouteTracing = {
    start: () => ({
      headers: [],
      answered: (status) => void told.push(["span answered", status]),
      failed: (code) => void told.push(["span failed", code]),
      ended: () => void told.push(["span ended"]),
    }),
  };
  const routeTo = (origin: string): Route => {
    const dispatch = (options: Sent, handler: Dispatcher.DispatchHandler): boolean => {
      handler.onRequestStart!(CONTROLLER, null);
      answer(handler, { ...options, origin });
      return true;
    };
    const fake = {
      dispatcher: { dispatch },
      http1Dispatcher: { dispatch },
      connections: 0,
      scope: { origin, destination: { host: new URL(origin).hostname, port: 1 } },
      options: {
        timeouts: { stream: 60_000, handshake: 1_000 },
        postgresPorts: [],
        mysqlPorts: [],
      },
      beginning: "at once",
      failure: failureOf,
      endedFailure: () => new Failure("origin_closed"),
      mayRetry: () => false,
      ...pool,
    };
    return {
      pool: fake as never,
      traffic,
      tracing,
      acceptance: { explain: (failure: Failure) => Promise.resolve(failure) } as never,
      until: Infinity,
      front: null,
      encodings: null,
      used: true,
      ...route,
    };
  };
  const path = join(folder, "s");
  const key = { accountId: "a", scriptName: "w", bindingName: "B", certificateId: "c" };
  const socket = new BindingSocket(
    { socketPath: path, ...key, ...binding },
    {
      route: routeTo,
      release: (one) => void released.push(one.pool.scope.origin),
      traffic,
      tracing: () => tracing,
      stream: () => () => void told.push(["given back"]),
      mostConnections: 1_024,
      connection: () => () => {},
      askOthers: null,
      clock,
      ...router,
    },
  );
  await socket.listen();
  t.after(async () => {
    const closed = socket.close(0);
    clock.advance(0);
    await closed;
    await rm(folder, { recursive: true, force: true });
  });
  return { socket, path, clock, told, released };
}

function failureOf(error: Error): Failure {
  return error instanceof Failure ? error : new Failure("origin_closed", { cause: error });
}

const CONTROLLER = {
  abort: () => {},
  pause: () => {},
  resume: () => {},
} as unknown as Dispatcher.DispatchController;

/** An origin that answers at once. */
export function answered(status = 204, body = ""): NonNullable<TestBindingOptions["answer"]> {
  return (handler) => {
    handler.onResponseStart!(CONTROLLER, status, {});
    if (body !== "") handler.onResponseData!(CONTROLLER, Buffer.from(body));
    handler.onResponseEnd!(CONTROLLER, {});
  };
}

/** Only the head and the first bytes of an answer. */
export function begun(handler: Dispatcher.DispatchHandler): void {
  handler.onResponseStart!(CONTROLLER, 200, {});
  handler.onResponseData!(CONTROLLER, Buffer.from("half"));
}

/** A connection of a Worker, with what it sends first. */
export async function opened(
  t: Pick<TestContext, "after">,
  path: string,
  first = "",
): Promise<Socket> {
  const socket = connect({ path, allowHalfOpen: true }).on("error", () => {});
  t.after(() => socket.destroy());
  await once(socket, "connect");
  if (first !== "") socket.write(first);
  return socket;
}

/** What comes until it has `end` in it, or the connection is over. */
export async function readUntil(socket: Duplex, end: string | RegExp): Promise<string> {
  let text = "";
  for await (const chunk of socket.iterator({ destroyOnReturn: false })) {
    text += String(chunk);
    if (text.search(end) !== -1) break;
  }
  return text;
}

/** A connection to an origin: the gateway's end, and the server's. */
export function upstream(): readonly [ours: Duplex, server: Duplex] {
  const [ours, server] = duplexPair({ allowHalfOpen: true });
  server.on("error", () => {});
  return [ours, server];
}
