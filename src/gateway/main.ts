/** The gateway process: the only one with private keys. Its supervisor talks to it over IPC. */
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { pino, type Logger } from "pino";
import { Keyring } from "../keys/seal.ts";
import { closeMemory } from "../process/closed-memory.ts";
import { unpackError, type SentError } from "../process/messages.ts";
import { Failure } from "../failures/failures.ts";
import { serve } from "../process/serve.ts";
import { EventBatch } from "./observe/events.ts";
import { Gateway } from "./gateway.ts";
import type { GatewayCalls } from "./messages.ts";
import { Metrics } from "./observe/metrics.ts";
import { GatewayObserver } from "./observe/observe.ts";
import type { GatewayOptions } from "../contract/gateway-options.ts";
import type { Tracing } from "./observe/tracing.ts";

closeMemory();
// Sockets are made private from the start, not only once chmod has run.
process.umask(0o077);

let counted: Metrics | null = null;
let gateway: Gateway | null = null;
let tracing: Tracing | null = null;

const supervisor = serve({
  call: (method, args, signal) => call(method as keyof GatewayCalls, args, signal),
  stop: async () => {
    await gateway?.[Symbol.asyncDispose]();
    await tracing?.[Symbol.asyncDispose]();
  },
  abandon: () => gateway?.abandon(),
});

async function call(
  method: keyof GatewayCalls,
  args: readonly unknown[],
  signal: AbortSignal,
): Promise<unknown> {
  if (method === "start") return start(...(args as Parameters<GatewayCalls["start"]>));
  if (method === "metrics") return counted?.registry.metrics() ?? "";
  if (method === "countedMetrics") {
    return { pid: process.pid, metrics: (await counted?.registry.getMetricsAsJSON()) ?? [] };
  }
  if (gateway === null) throw new Error(`"${method}" came before "start"`);
  const apply = gateway[method] as (this: Gateway, ...args: unknown[]) => unknown;
  return apply.call(gateway, ...args, signal);
}

async function start(
  masterKey: Uint8Array,
  options: GatewayOptions,
  hasOthers: boolean,
): Promise<{ metricsPort: number | null }> {
  const log = createLog(options.logLevel);
  const events = new EventBatch((batch) => supervisor.event(batch));
  const metrics = new Metrics({
    pools: () => gateway?.pools.all() ?? [],
    credentials: () => gateway?.credentials() ?? [],
    sessions: () => gateway?.databases.sessions() ?? [],
  });
  counted = metrics;
  tracing = await startTracing(options.otlpEndpoint, log);
  gateway = new Gateway({
    keyring: new Keyring(masterKey),
    options,
    observer: new GatewayObserver(
      log,
      metrics,
      (event) => events.add(event),
      options.failureDetails,
    ),
    tracing,
    askOthers: hasOthers ? askOthers : null,
  });
  masterKey.fill(0);
  const metricsPort = await serveMetrics(metrics, options.metricsPort);
  if (metricsPort !== null) gateway.reservePort(metricsPort);
  return { metricsPort };
}

/** Of the processes that share the sockets. */
async function askOthers(socketPath: string, url: string): Promise<Failure | null> {
  const sent = (await supervisor.ask({ socketPath, url })) as SentError | null | undefined;
  const error = sent ? unpackError(sent) : null;
  return error instanceof Failure ? error : null;
}

async function startTracing(endpoint: string | null, log: Logger): Promise<Tracing | null> {
  if (endpoint === null) return null;
  const { otlpTracing } = await import("./observe/otlp.ts");
  return otlpTracing(endpoint, log);
}

/**
 * Goes to the supervisor, which writes it into the platform's log. If the supervisor reads too
 * slowly, lines are dropped, so that no request waits.
 */
function createLog(level: GatewayOptions["logLevel"]): Logger {
  return pino(
    { level, base: null },
    pino.destination({ dest: 1, sync: false, maxLength: 1_048_576 }),
  );
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
