/**
 * A load generator over undici, in a separate process, for machines without wrk and for targets at a Unix socket. Its
 * argument is a `ClientOrder`; it prints a result like wrk.lua.
 */
import { once } from "node:events";
import { createHistogram } from "node:perf_hooks";
import { Client, type Dispatcher } from "undici";
import type { ClientOrder } from "./load.ts";

const order = JSON.parse(process.argv[2]!) as ClientOrder;
const histogram = createHistogram();
const headers = { ...order.headers, ...(order.host !== undefined && { host: order.host }) };
let requests = 0;
let failed = 0;
let unexpected = 0;

const clients = Array.from({ length: order.connections }, (_, index) => connect(index));
if (order.isStarted === true) {
  // All connections are open before the time starts, and before the parent reads the CPU counters.
  await Promise.all(clients.map((client) => answer(client)));
  process.stdout.write("READY\n");
  await once(process.stdin, "data");
  process.stdin.destroy();
}
const startedAt = performance.now();
const until = startedAt + order.seconds * 1_000;
await Promise.all(clients.map(pump));
const microseconds = (performance.now() - startedAt) * 1_000;
const result = {
  requests,
  microseconds,
  p50: histogram.percentile(50),
  p99: histogram.percentile(99),
  failed,
  unexpected,
};
process.stdout.write(`\nRESULT ${JSON.stringify(result)}\n`);

function connect(index: number): Client {
  const { sockets, tls } = order;
  const connecting =
    sockets === undefined
      ? tls && { connect: tls }
      : { connect: { socketPath: sockets[index % sockets.length]! } };
  return new Client(order.base, { ...connecting, pipelining: 1, allowH2: false });
}

/** One connection: a request, its answer, the next request. */
async function pump(client: Client): Promise<void> {
  while (performance.now() < until) {
    const at = performance.now();
    const status = await answer(client);
    requests += 1;
    if (status === 0) failed += 1;
    else if (status >= 400) unexpected += 1;
    histogram.record(Math.max(1, Math.round((performance.now() - at) * 1_000)));
  }
  await client.close();
}

/** The status, once the body has arrived. 0: no answer. */
function answer(client: Client): Promise<number> {
  return new Promise((resolve) => {
    let status = 0;
    const handler: Dispatcher.DispatchHandler = {
      onRequestStart() {},
      onResponseStart(_, code) {
        status = code;
      },
      onResponseData() {},
      onResponseEnd: () => resolve(status),
      onResponseError: () => resolve(0),
    };
    client.dispatch({ path: order.path, method: "GET", headers }, handler);
  });
}
