import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, request as httpRequest, type IncomingMessage } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { json } from "node:stream/consumers";
import { test, type TestContext } from "node:test";
import { WebSocket, WebSocketServer } from "ws";
import { ask, edgeCertificate, testGateway, type TestGateway } from "./helpers/gateway.ts";
import { startOrigin, type TestOrigin } from "./helpers/origin.ts";
import { makeAuthority } from "./helpers/pki.ts";
import { until } from "./helpers/until.ts";

const TRACE = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT = "00f067aa0ba902b7";
const CLIENT = 3;
const ERROR = 2;

test("a span is exported for each request, and the origin gets its trace context", async (t) => {
  const { collector, gateway, origin } = await ready(t);
  const answer = await ask(gateway.socket(), `${origin.url}/a-path?token=a-secret`, {
    headers: { ...sampled, tracestate: "vendor=value", authorization: "a-secret" },
  });
  await until(() => collector.spans.length === 1);
  const [span] = collector.spans;
  assert.deepEqual(
    [span!.traceId, span!.parentSpanId, span!.name, span!.kind, span!.status],
    [TRACE, PARENT, "GET", CLIENT, { code: 0 }],
  );
  assert.deepEqual(attributesOf(span!), {
    "http.request.method": "GET",
    "url.scheme": "https",
    "server.address": "localhost",
    "server.port": origin.port,
    "http.response.status_code": 200,
    "countersign.script": "worker",
    "countersign.binding": "CERT",
    "countersign.certificate_id": "c",
    "countersign.certificate_version": 1,
  });
  assert.deepEqual(answer.json(), {
    traceparent: `00-${TRACE}-${span!.spanId}-01`,
    tracestate: "vendor=value",
  });
  assert.notEqual(span!.spanId, PARENT);
  assert.deepEqual(collector.paths, ["/v1/traces"]);
  assert.doesNotMatch(collector.text(), /a-path|a-secret|PRIVATE KEY/);
  assert.match(collector.text(), /"countersign-gateway"/);
});

test("a request without a parent begins a trace; one whose parent is not sampled is not", async (t) => {
  const { collector, gateway, origin } = await ready(t);
  const unsampled = await ask(gateway.socket(), origin.url, {
    headers: { traceparent: `00-${TRACE}-${PARENT}-00` },
  });
  assert.match(unsampled.json().traceparent, new RegExp(`^00-${TRACE}-[0-9a-f]{16}-00$`));
  const answer = await ask(gateway.socket(), origin.url, {
    method: "PROPFIND",
    headers: { traceparent: "nonsense", tracestate: "vendor=value" },
  });
  await gateway.handle[Symbol.asyncDispose]();
  assert.equal(collector.spans.length, 1);
  const [span] = collector.spans;
  assert.equal(span!.parentSpanId, undefined);
  assert.equal(span!.name, "HTTP");
  assert.equal(attributesOf(span!)["http.request.method_original"], "PROPFIND");
  assert.deepEqual(answer.json(), { traceparent: `00-${span!.traceId}-${span!.spanId}-01` });
});

test("a failure's span says its code, also before there is an origin to reach", async (t) => {
  const { collector, gateway, origin } = await ready(t);
  await ask(gateway.socket(), "https://nothing.invalid/", { headers: sampled });
  await ask(gateway.socket(), "http://localhost/", { headers: sampled });
  await ask(gateway.socket(), `${origin.url}/missing`, { headers: sampled });
  await assert.rejects(ask(gateway.socket(), `${origin.url}/broken`, { headers: sampled }));
  await until(() => collector.spans.length === 4);
  const told = collector.spans.map((span) => {
    const attributes = attributesOf(span);
    return [
      attributes["server.address"],
      attributes["http.response.status_code"],
      attributes["error.type"],
      span.status,
    ];
  });
  const failure = (code: string): object => ({ code: ERROR, message: code });
  assert.deepEqual(told.slice(0, 3), [
    ["nothing.invalid", undefined, "origin_name_not_found", failure("origin_name_not_found")],
    ["localhost", undefined, "origin_http_refused", failure("origin_http_refused")],
    ["localhost", 404, "404", { code: ERROR }],
  ]);
  const [, status, code, broken] = told[3]!;
  assert.equal(status, 200);
  assert.match(String(code), /^origin_/);
  assert.deepEqual(broken, failure(String(code)));
});

test("a WebSocket's span lasts as long as the WebSocket", async (t) => {
  const { collector, gateway, origin } = await ready(t);
  const sockets = new WebSocketServer({ server: origin.server as never });
  t.after(() => sockets.close());
  const client = new WebSocket(`ws+unix://${gateway.socket()}:${origin.url}/socket`, {
    headers: sampled,
  });
  await once(client, "open");
  await ask(gateway.socket(), origin.url, { headers: sampled });
  await until(() => collector.spans.length === 1);
  assert.equal(attributesOf(collector.spans[0]!)["http.response.status_code"], 200);
  client.close();
  await until(() => collector.spans.length === 2);
  assert.equal(attributesOf(collector.spans[1]!)["http.response.status_code"], 101);
});

test("a connect() has a span, which ends with its connection", async (t) => {
  const { collector, gateway, origin } = await ready(t);
  const open = async (path: string): Promise<Socket> => {
    const request = httpRequest({ socketPath: gateway.socket(), method: "CONNECT", path }).end();
    const [response, socket] = (await once(request, "connect")) as [IncomingMessage, Socket];
    socket.resume().on("error", () => {});
    t.after(() => socket.destroy());
    assert.equal(response.statusCode === 200, path !== "nothing.invalid:443");
    return socket;
  };
  const socket = await open(`localhost:${origin.port}`);
  await open("nothing.invalid:443");
  await until(() => collector.spans.length === 1);
  assert.equal(attributesOf(collector.spans[0]!)["error.type"], "origin_name_not_found");
  socket.destroy();
  await until(() => collector.spans.length === 2);
  const [, span] = collector.spans;
  assert.deepEqual([span!.name, span!.status], ["CONNECT", { code: 0 }]);
  assert.equal(attributesOf(span!)["server.port"], origin.port);
});

test("what has ended is exported when the gateway stops, and a silent collector does not hold it up", async (t) => {
  const { collector, gateway, origin } = await ready(t);
  await ask(gateway.socket(), origin.url, { headers: sampled });
  await gateway.handle[Symbol.asyncDispose]();
  assert.equal(collector.spans.length, 1);

  const silent = await listen(t, () => {});
  const second = await gatewayFor(t, origin, silent);
  await ask(second.socket(), origin.url, { headers: sampled });
  await second.handle[Symbol.asyncDispose]();
  assert.equal(second.handle.status().lastExit, "exited with status 0");
});

test("without a collector, traceparent passes through unchanged and nothing is exported", async (t) => {
  const { collector, origin } = await ready(t);
  const gateway = await gatewayFor(t, origin, null);
  const headers = { ...sampled, tracestate: "vendor=value" };
  const answer = await ask(gateway.socket(), origin.url, { headers });
  assert.deepEqual(answer.json(), headers);
  await gateway.handle[Symbol.asyncDispose]();
  assert.deepEqual(collector.paths, []);
});

const sampled = { traceparent: `00-${TRACE}-${PARENT}-01` };

interface ExportedSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
  readonly kind: number;
  readonly status: { readonly code: number; readonly message?: string };
  readonly attributes: readonly {
    readonly key: string;
    readonly value: { readonly stringValue?: string; readonly intValue?: number };
  }[];
}

interface ExportedTraces {
  readonly resourceSpans: readonly {
    readonly scopeSpans: readonly { readonly spans: readonly ExportedSpan[] }[];
  }[];
}

function attributesOf(span: ExportedSpan): Record<string, unknown> {
  return Object.fromEntries(
    span.attributes.map(({ key, value }) => [key, value.stringValue ?? value.intValue]),
  );
}

interface Collector {
  readonly url: string;
  /** In the order in which they ended. */
  readonly spans: ExportedSpan[];
  readonly paths: string[];
  /** Everything that was exported. */
  text(): string;
}

async function startCollector(t: TestContext): Promise<Collector> {
  const spans: ExportedSpan[] = [];
  const paths: string[] = [];
  const bodies: unknown[] = [];
  const url = await listen(t, async (request, response) => {
    paths.push(request.url!);
    const body = (await json(request)) as ExportedTraces;
    bodies.push(body);
    for (const { scopeSpans } of body.resourceSpans) {
      spans.push(...scopeSpans.flatMap((scope) => scope.spans));
    }
    response.setHeader("content-type", "application/json").end("{}");
  });
  return { url, spans, paths, text: () => JSON.stringify(bodies) };
}

async function listen(
  t: TestContext,
  handler: (...args: Parameters<Parameters<typeof createServer>[1] & {}>) => unknown,
): Promise<string> {
  const server = createServer((request, response) => void handler(request, response));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

type TracedOrigin = TestOrigin & { readonly authority: Awaited<ReturnType<typeof makeAuthority>> };

async function gatewayFor(
  t: TestContext,
  { authority }: TracedOrigin,
  otlpEndpoint: string | null,
): Promise<TestGateway> {
  const gateway = await testGateway(t, { otlpEndpoint });
  await gateway.handle.setTrust("a", { authorities: [authority.pem], hosts: {}, proxied: [] });
  const certificate = await authority.issue({ subject: "CN=client" });
  await gateway.handle.setCertificate(edgeCertificate(certificate));
  await gateway.bind();
  return gateway;
}

/** The origin answers with the trace context that it received. */
async function ready(
  t: TestContext,
): Promise<{ collector: Collector; gateway: TestGateway; origin: TracedOrigin }> {
  const authority = await makeAuthority();
  const started = await startOrigin({
    authority,
    handler: ({ url, headers: { traceparent, tracestate } }, response) => {
      if (url === "/broken") {
        response.writeHead(200, { "content-length": 100 });
        response.write("half", () => response.destroy());
        return;
      }
      response.statusCode = url === "/missing" ? 404 : 200;
      response.end(JSON.stringify({ traceparent, tracestate }));
    },
  });
  t.after(() => started[Symbol.asyncDispose]());
  const origin = { ...started, authority };
  const collector = await startCollector(t);
  return { collector, origin, gateway: await gatewayFor(t, origin, collector.url) };
}
