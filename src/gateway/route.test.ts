import assert from "node:assert/strict";
import type { IncomingMessage, ServerResponse } from "node:http";
import { test } from "node:test";
import { Failure } from "../failures/failures.ts";
import { RoutedRequest, splitUrl, type Route } from "./route.ts";

const refused = new Failure("origin_refused_certificate_ca");
const closed = new Failure("origin_closed");

/** A route that writes down what it is told. */
class World {
  readonly told: unknown[] = [];
  failure: Failure = closed;
  readonly route: Route;

  constructor(said: Partial<Route> = {}) {
    this.route = {
      pool: {
        dispatcher: "HTTP/2",
        http1Dispatcher: "HTTP/1.1",
        scope: { origin: "https://a.example" },
        failure: () => this.failure,
        mayRetry: (...args: unknown[]) => this.told.push(["mayRetry", ...args]) > 0,
      } as never,
      traffic: {
        details: "public",
        answered: (status, ms) => this.told.push(["answered", status, ms >= 0 && ms < 60_000]),
        failed: (failure, ...rest) => this.told.push(["failed", failure, ...rest]),
      },
      tracing: null,
      acceptance: {
        explain: async (failure: Failure) => {
          this.told.push(["explain", failure]);
          return new Failure(failure.code, { message: "explained" });
        },
      } as never,
      until: Infinity,
      front: null,
      encodings: null,
      used: true,
      ...said,
    };
  }

  request(how: ConstructorParameters<typeof RoutedRequest>[2] = "request"): RoutedRequest {
    return new RoutedRequest(this.route, "/path", how);
  }
}

const tracing: Route["tracing"] & { readonly told: unknown[] } = {
  told: [],
  start: () => ({
    headers: ["traceparent", "00-1"],
    answered: (status) => void tracing.told.push(["answered", status]),
    failed: (code) => void tracing.told.push(["failed", code]),
    ended: () => void tracing.told.push(["ended"]),
  }),
};

function came(...rawHeaders: string[]): IncomingMessage {
  return { method: "GET", headers: {}, rawHeaders } as unknown as IncomingMessage;
}

/** What a Worker is answered. */
function response(): ServerResponse & { readonly said: unknown[] } {
  const said: unknown[] = [];
  return {
    said,
    writeHead: (...args: unknown[]) => said.push(...args),
    end: (body: unknown) => said.push(body),
  } as never;
}

test("a URL is taken apart as it came", () => {
  for (const [url, origin, path] of [
    ["https://a.example", "https://a.example", "/"],
    ["https://a.example/", "https://a.example", "/"],
    ["https://a.example:8443/p//q?r=https://b/", "https://a.example:8443", "/p//q?r=https://b/"],
    ["https://a.example?q=/", "https://a.example", "/?q=/"],
    ["https://[::1]:1/#", "https://[::1]:1", "/#"],
  ] as const) {
    assert.deepEqual(splitUrl(url), { origin, path });
  }
});

test("a Worker's request names the URL's host; one before an origin the client's, and where it was", () => {
  const worker = new World().request().prepared(came());
  assert.deepEqual([worker.host, worker.added, worker.path], [null, undefined, "/path"]);
  const front = new World({ front: "countersign-1" }).request().prepared(came());
  assert.deepEqual([front.host, front.added], [undefined, ["cdn-loop", "countersign-1"]]);
});

test("compressed answers are asked for where the Worker said nothing, and not of an upgrade", () => {
  const encodings = ["accept-encoding", "gzip"];
  const world = new World({ encodings });
  assert.equal(world.request().prepared(came()).added, encodings);
  assert.equal(world.request().prepared(came("range", "bytes=0-1")).added, undefined);
  assert.equal(world.request("upgrade").prepared(came()).added, undefined);
});

function over(request: RoutedRequest): unknown {
  return request.dispatcher;
}

test("an upgrade goes over HTTP/1.1, and so does a header that HTTP/2 does not carry", () => {
  const world = new World();
  assert.equal(over(world.request()), "HTTP/2");
  assert.equal(over(world.request("continue")), "HTTP/2");
  assert.equal(over(world.request("upgrade")), "HTTP/1.1");
  assert.equal(over(world.request().prepared(came("x", "v".repeat(65_000)))), "HTTP/2");
  assert.equal(over(world.request().prepared(came("x", "v".repeat(65_001)))), "HTTP/1.1");
});

test("only what the client waits for is continued", () => {
  const world = new World();
  assert.deepEqual(
    (["request", "continue", "upgrade"] as const).map((how) => world.request(how).expectsContinue),
    [false, true, false],
  );
});

test("a span's headers take the place of those that came, and are sent with the others", () => {
  const traced = new World({ tracing }).request().prepared(came());
  assert.deepEqual(traced.added, ["traceparent", "00-1"]);
  assert.deepEqual([...traced.dropped!], ["traceparent", "tracestate"]);
  const both = new World({ tracing, front: "f" }).request().prepared(came());
  assert.deepEqual(both.added, ["traceparent", "00-1", "cdn-loop", "f"]);
  assert.equal(new World().request().prepared(came()).dropped, undefined);
});

test("an answer is counted, and a countersign-failure header of the origin is removed", () => {
  tracing.told.length = 0;
  const world = new World({ tracing });
  const headers = [
    "countersign-failure",
    "x",
    "a",
    "countersign-failure",
    "countersign-failurE",
    "1",
  ];
  world.request().prepared(came()).answered(418, headers);
  assert.deepEqual(headers, ["a", "countersign-failure", "countersign-failurE", "1"]);
  assert.deepEqual(world.told, [["answered", 418, true]]);
  assert.deepEqual(tracing.told, [["answered", 418]]);
  const twice = ["countersign-failure", "x", "countersign-failure", "y"];
  world.request().answered(200, twice);
  assert.deepEqual(twice, []);
});

test("a failure is counted under the ray that the Worker sees", () => {
  tracing.told.length = 0;
  const world = new World({ tracing });
  const sent = response();
  const request = Object.assign(came(), { headers: { "cf-ray": "0123456789abcdef" } });
  world.request().prepared(came()).failed(new Error("closed"), request, sent);
  assert.deepEqual(world.told, [["failed", closed, "https://a.example", "0123456789abcdef"]]);
  assert.deepEqual(tracing.told, [["failed", "origin_closed"]]);
  assert.equal(sent.said[0], closed.entry.status);
  assert.match(String(sent.said.at(-1)), /origin_closed.*0123456789abcdef/s);
});

test("a refusal of the certificate is answered with what the origin accepts, once that is known", async () => {
  const world = new World();
  world.failure = refused;
  const sent = response();
  world.request().failed(new Error("alert"), came(), sent);
  assert.deepEqual(sent.said, []);
  await new Promise((resolve) => setImmediate(resolve));
  assert.match(String(sent.said.at(-1)), /explained/);
  assert.deepEqual(world.told.at(-1), ["explain", refused]);
});

test("a response that broke off is a failure; a response that its client left, or got whole, is not", () => {
  tracing.told.length = 0;
  const world = new World({ tracing });
  const gone = Object.assign(new Error("gone"), { code: "CLIENT_GONE" });
  for (const error of [null, gone]) world.request().prepared(came()).ended(error);
  assert.deepEqual([world.told, tracing.told], [[], [["ended"], ["ended"]]]);
  world.request().prepared(came()).ended(new Error("reset"));
  assert.deepEqual(world.told, [["failed", closed, "https://a.example"]]);
  assert.deepEqual(tracing.told.at(-1), ["failed", "origin_closed"]);
  new World().request().ended(null);
  new World().request().ended(new Error("reset"));
});

test("whether it is sent again is for the pool to say", () => {
  const world = new World();
  const error = new Error("refused");
  const attempt = { isSafe: true, hasBody: false, retries: 0 };
  assert.equal(world.request().mayRetry(error, attempt), true);
  assert.deepEqual(world.told, [["mayRetry", error, attempt]]);
});
