/**
 * A load generator over undici, in a process of its own: where wrk is not installed, and where the
 * target is a Unix socket. Takes a `ClientOrder` as its argument, prints a result as wrk.lua does.
 */
import { createHistogram } from "node:perf_hooks";
import { Client, type Dispatcher } from "undici";
import type { ClientOrder } from "./load.ts";

const order = JSON.parse(process.argv[2]!) as ClientOrder;
const histogram = createHistogram();
const until = performance.now() + order.seconds * 1_000;
const headers = order.host === undefined ? {} : { host: order.host };
let requests = 0;
let failed = 0;
let unexpected = 0;

const startedAt = performance.now();
await Promise.all(Array.from({ length: order.connections }, (_, index) => pump(index)));
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

/** One connection: a request, its answer, the next request. */
async function pump(index: number): Promise<void> {
  const sockets = order.sockets;
  const connect =
    sockets === undefined ? {} : { connect: { socketPath: sockets[index % sockets.length]! } };
  const client = new Client(order.base, { ...connect, pipelining: 1 });
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

/** The status, once the body has come too. 0: no answer. */
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
