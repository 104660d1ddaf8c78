import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { listenFailure } from "../network/listen-failure.ts";

export interface MetricsListener extends AsyncDisposable {
  readonly port: number;
  /** From now on `read` provides the answers, also for requests that have waited. */
  serve(read: () => Promise<string>): void;
}

/**
 * The listener, on loopback, from which Prometheus reads all metrics. The port is taken before the edge starts, because
 * the edge keeps Workers away from it.
 * @throws Failure `port_in_use`
 */
export async function listenForMetrics(port: number): Promise<MetricsListener> {
  const source = Promise.withResolvers<() => Promise<string>>();
  const server = createServer((request, response) => {
    const path = request.url?.split("?")[0];
    if (path !== "/metrics" && path !== "/") {
      response.writeHead(404).end("the metrics are at /metrics\n");
      return;
    }
    const text = source.promise.then((read) => read());
    text.then(
      (body) => response.writeHead(200, { "content-type": CONTENT_TYPE }).end(body),
      () => response.writeHead(500).end(),
    );
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", (cause: NodeJS.ErrnoException) =>
      reject(listenFailure("the metrics", { host: "127.0.0.1", port }, cause)),
    );
    server.listen(port, "127.0.0.1", resolve);
  });
  return {
    port: (server.address() as AddressInfo).port,
    serve: source.resolve,
    [Symbol.asyncDispose]: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

const CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8";
