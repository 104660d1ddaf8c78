/** The gateway process: the only one with private keys. Its supervisor talks to it over IPC. */
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { pino, type Logger } from "pino";
import { Keyring } from "../keys/seal.ts";
import { EventBatch } from "./events.ts";
import { Gateway } from "./gateway.ts";
import {
  packError,
  type CallMessage,
  type GatewayCalls,
  type GatewayMessage,
  type GatewayMethod,
} from "./messages.ts";
import { Metrics } from "./metrics.ts";
import { GatewayObserver } from "./observe.ts";
import type { GatewayOptions } from "../contract/gateway-options.ts";
import type { Tracing } from "./tracing.ts";

// Sockets are made private from the start, not only once chmod has run.
process.umask(0o077);
// Without a supervisor nobody would tell of a revocation.
process.on("disconnect", () => process.exit(0));
// Signals to the whole group (Ctrl-C, systemd) are the supervisor's business: it drains first.
process.on("SIGINT", () => {});
process.on("SIGTERM", () => {});

let gateway: Gateway | null = null;
let tracing: Tracing | null = null;

process.on("message", (message: CallMessage) => void answer(message));

async function answer({ id, method, args }: CallMessage): Promise<void> {
  try {
    const value = await call(method, args);
    send({ kind: "result", id, value });
  } catch (error) {
    send({ kind: "error", id, error: packError(error) });
  }
  if (method === "stop") process.disconnect!();
}

async function call(method: GatewayMethod, args: unknown[]): Promise<unknown> {
  if (method === "start") return start(...(args as Parameters<GatewayCalls["start"]>));
  if (gateway === null) throw new Error(`"${method}" came before "start"`);
  if (method === "stop") return stop(gateway);
  const apply = gateway[method] as (this: Gateway, ...args: unknown[]) => unknown;
  return apply.call(gateway, ...args);
}

async function start(
  masterKey: Uint8Array,
  options: GatewayOptions,
): Promise<{ metricsPort: number | null }> {
  const log = pino({ name: "gateway", level: options.logLevel }, pino.destination(2));
  const events = new EventBatch((batch) => send({ kind: "events", events: batch }));
  const metrics = new Metrics({
    pools: () => gateway?.pools.all() ?? [],
    credentials: () => gateway?.credentials() ?? [],
  });
  tracing = await startTracing(options.otlpEndpoint, log);
  gateway = new Gateway({
    keyring: new Keyring(masterKey),
    options,
    observer: new GatewayObserver(log, metrics, (event) => events.add(event)),
    tracing,
  });
  masterKey.fill(0);
  const metricsPort = await serveMetrics(metrics, options.metricsPort);
  if (metricsPort !== null) gateway.reservePort(metricsPort);
  return { metricsPort };
}

async function startTracing(endpoint: string | null, log: Logger): Promise<Tracing | null> {
  if (endpoint === null) return null;
  const { otlpTracing } = await import("./otlp.ts");
  return otlpTracing(endpoint, log);
}

async function stop(running: Gateway): Promise<void> {
  await running[Symbol.asyncDispose]();
  await tracing?.[Symbol.asyncDispose]();
}

function serveMetrics(metrics: Metrics, port: number | null): Promise<number | null> {
  if (port === null) return Promise.resolve(null);
  const server = createServer((_, response) => void writeMetrics(metrics, response));
  server.unref();
  return new Promise((fulfil, reject) => {
    server.once("error", reject);
    server.listen(port, "127.0.0.1", () => fulfil((server.address() as AddressInfo).port));
  });
}

async function writeMetrics(metrics: Metrics, response: ServerResponse): Promise<void> {
  const text = await metrics.registry.metrics();
  response.setHeader("content-type", metrics.registry.contentType);
  response.end(text);
}

function send(message: GatewayMessage): void {
  if (process.connected) process.send!(message);
}
