import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:net";
import { text as textOf } from "node:stream/consumers";
import { after, before, test } from "node:test";
import { WebSocket } from "ws";
import { answering, startTestEdge, type TestEdge } from "./helpers/edge.ts";
import { slowUpload } from "./helpers/load.ts";
import { makeVersion } from "./helpers/source.ts";
import { until } from "./helpers/until.ts";

interface Seen {
  readonly url: string;
  readonly body: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly cf: { readonly httpProtocol: string; readonly tlsClientAuth: Record<string, unknown> };
}

let edge: TestEdge;
before(async () => {
  edge = await startTestEdge();
  const echo = `let uploads = 0;
  export default { async fetch(request) {
    if (request.url.endsWith("/uploads")) return new Response(String(uploads));
    if (request.method === "POST") uploads += 1;
    if (request.headers.get("upgrade") === "websocket") {
      const [client, server] = Object.values(new WebSocketPair());
      server.accept();
      server.addEventListener("message", ({ data }) => server.send("echo " + data));
      return new Response(null, { status: 101, webSocket: client });
    }
    const { url, cf, headers } = request;
    return Response.json({ url, cf, headers: Object.fromEntries(headers), body: await request.text() });
  } };`;
  await edge.deploy(makeVersion("echo", echo), {
    hosts: ["echo.localhost", "*.wild.example"],
    routes: ["other.example/echo/*"],
  });
  await edge.deploy(makeVersion("other", answering("other")), { hosts: ["other.example"] });
});
after(() => edge[Symbol.asyncDispose]());

async function seen(
  host: string,
  path: string,
  headers: Record<string, string> = {},
): Promise<Seen> {
  const { status, text } = await edge.fetch(host, path, { headers });
  assert.equal(status, 200, text);
  return JSON.parse(text) as Seen;
}

test("a Worker sees the URL that its client asked for", async () => {
  const { url } = await seen("echo.localhost", "/a%20b/c?d=%2F&e");
  assert.equal(url, `http://echo.localhost:${edge.edge.httpPort}/a%20b/c?d=%2F&e`);
});

test("a host is found in any case, with a port and a trailing dot, below a wildcard, or by a route", async () => {
  for (const host of ["ECHO.localhost", "echo.localhost.", "a.b.wild.example"]) {
    const { url } = await seen(host, "/");
    assert.equal(new URL(url).hostname, host.toLowerCase());
  }
  assert.equal((await seen("other.example", "/echo/1")).url.endsWith("/echo/1"), true);
  assert.equal((await edge.fetch("other.example", "/")).text, "other");
});

test("a request for a host of no Worker is answered so, and no other host is named", async () => {
  const plain = await edge.fetch("nobody.example");
  assert.equal(plain.status, 404);
  assert.match(plain.text, /no Worker answers for this host/);
  assert.doesNotMatch(plain.text, /localhost|wild|other/);
  const json = await edge.fetch("nobody.example", "/", { headers: { accept: "application/json" } });
  const { error } = JSON.parse(json.text) as { error: { code: string } };
  assert.equal(error.code, "host_unknown");
});

test("a Worker learns about its client from headers that the client cannot forge", async () => {
  const forged = {
    "cf-connecting-ip": "6.6.6.6",
    "x-real-ip": "6.6.6.6",
    "x-forwarded-for": "6.6.6.6",
    "x-forwarded-proto": "https",
    "cf-ray": "forged",
    "cf-ipcountry": "XX",
    "cf-worker": "forged",
    "cf-cert-verified": "true",
    "true-client-ip": "6.6.6.6",
    "countersign-cf": '{"tlsClientAuth":{"certVerified":"SUCCESS"}}',
    "x-mine": "kept",
  };
  const { headers, cf, url } = await seen("echo.wild.example", "/", forged);
  assert.equal(headers["cf-connecting-ip"], "127.0.0.1");
  assert.equal(headers["x-real-ip"], "127.0.0.1");
  assert.equal(headers["x-forwarded-for"], "6.6.6.6, 127.0.0.1");
  assert.equal(headers["x-mine"], "kept");
  for (const name of ["cf-ipcountry", "cf-worker", "cf-cert-verified", "true-client-ip"]) {
    assert.equal(headers[name], undefined, name);
  }
  assert.match(headers["cf-ray"]!, /^[0-9a-f]{16}$/);
  assert.equal(headers["countersign-cf"], undefined);
  assert.match(url, /^http:/);
  assert.equal(cf.httpProtocol, "HTTP/1.1");
  assert.equal(cf.tlsClientAuth["certPresented"], "0");
  assert.equal(cf.tlsClientAuth["certVerified"], "NONE");
  const listed = await seen("echo.wild.example", "/", {
    ...forged,
    connection: "countersign-cf, x-real-ip",
  });
  assert.equal(listed.cf.tlsClientAuth["certVerified"], "NONE");
  assert.equal(listed.headers["x-real-ip"], "127.0.0.1");
});

test("128 KB of headers pass each way, and more is refused", async () => {
  await edge.deploy(
    makeVersion(
      "headers",
      `export default { fetch: (request) => new Response(request.headers.get("x-big")?.length, {
        headers: { "x-back": "b".repeat(Number(new URL(request.url).searchParams.get("n"))) },
      }) };`,
    ),
  );
  const big = { "x-big": "b".repeat(126_000) };
  assert.equal((await edge.fetch("headers.localhost", "/?n=1", { headers: big })).text, "126000");
  const { headers } = await edge.fetch("headers.localhost", "/?n=15000");
  assert.equal(headers["x-back"]?.length, 15_000);
  for (const [status, code, path, request] of [
    [431, "headers_too_large", "/", { "x-big": "b".repeat(130_000) }],
    [431, "headers_too_large", "/", { "x-big": "b".repeat(300_000) }],
    [414, "url_too_long", `/${"u".repeat(16_400)}`, {}],
    [502, "worker_headers_too_large", "/?n=130000", {}],
    [400, "host_malformed", "/", { host: "headers.localhost:65536" }],
  ] as const) {
    const answer = await edge.fetch("headers.localhost", path, { headers: request });
    assert.equal(answer.status, status);
    assert.match(answer.text, new RegExp(`\\(${code}\\)`));
  }
});

test("NAME.localhost is for programs on this machine, not for who comes through a proxy on it", async () => {
  for (const name of ["x-forwarded-for", "forwarded", "x-real-ip", "via", "x-forwarded-host"]) {
    const { status, text } = await edge.fetch("echo.localhost", "/", {
      headers: { [name]: "1.2.3.4" },
    });
    assert.equal(status, 404, `${name}: ${text}`);
  }
  const old = await raw("GET / HTTP/1.0\r\nHost: echo.localhost\r\n\r\n");
  assert.match(old, /^HTTP\/1\.1 404/, "nginx speaks HTTP/1.0 unless it is told otherwise");
  assert.match(await raw("GET / HTTP/1.0\r\nHost: echo.wild.example\r\n\r\n"), /^HTTP\/1\.1 200/);
});

test("WebSockets reach the Worker and come back", async () => {
  const socket = new WebSocket(`ws://127.0.0.1:${edge.edge.httpPort}/`, {
    headers: { host: "echo.localhost" },
  });
  await once(socket, "open");
  socket.send("hello");
  const [data] = (await once(socket, "message")) as [Buffer];
  assert.equal(data.toString(), "echo hello");
  socket.close();
  await once(socket, "close");
});

test("an upgrade to another protocol is ignored, and the request answered", async () => {
  const { status, text } = await edge.fetch("echo.localhost", "/", {
    method: "POST",
    headers: {
      connection: "Upgrade, HTTP2-Settings",
      upgrade: "h2c",
      "http2-settings": "AAMAAABk",
    },
    body: "whole",
  });
  assert.equal(status, 200);
  const { body, headers } = JSON.parse(text) as Seen;
  assert.deepEqual([body, headers["upgrade"]], ["whole", undefined]);
});

test("an upgrade for a host of no Worker is answered with 404", async () => {
  const socket = new WebSocket(`ws://127.0.0.1:${edge.edge.httpPort}/`, {
    headers: { host: "nobody.example" },
  });
  const [error] = (await once(socket, "error")) as [Error];
  assert.match(error.message, /404/);
});

test("the absolute form of a request's target counts for more than its Host", async () => {
  const answer = await raw(
    "GET http://echo.localhost/x HTTP/1.1\r\nHost: other.example\r\nConnection: close\r\n\r\n",
  );
  assert.match(answer, /"url":"http:\/\/echo.localhost\/x"/);
});

const refused: Readonly<Record<string, string>> = {
  "both a length and chunks":
    "POST / HTTP/1.1\r\nHost: echo.localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
  "two lengths":
    "POST / HTTP/1.1\r\nHost: echo.localhost\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n12345",
  "an obfuscated coding":
    "POST / HTTP/1.1\r\nHost: echo.localhost\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
  "a space before a colon": "GET / HTTP/1.1\r\nHost : echo.localhost\r\n\r\n",
  "a folded header": "GET / HTTP/1.1\r\nHost: echo.localhost\r\nX-A: b\r\n c: d\r\n\r\n",
  "bare line feeds": "GET / HTTP/1.1\nHost: echo.localhost\n\n",
  "no host": "GET / HTTP/1.1\r\n\r\n",
  "two hosts": "GET / HTTP/1.1\r\nHost: echo.localhost\r\nHost: other.example\r\n\r\n",
  "a host with a path": "GET / HTTP/1.1\r\nHost: echo.localhost/x\r\n\r\n",
  "a host with a user": "GET / HTTP/1.1\r\nHost: other.example@echo.localhost\r\n\r\n",
  "a target that is no path": "OPTIONS * HTTP/1.1\r\nHost: echo.localhost\r\n\r\n",
  "no sense": "\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03",
  "a chunk that has no length":
    "POST / HTTP/1.1\r\nHost: echo.localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
  "a tunnel to open": "CONNECT echo.localhost:443 HTTP/1.1\r\nHost: echo.localhost:443\r\n\r\n",
  "far too much header": `GET / HTTP/1.1\r\nHost: echo.localhost\r\nX-A: ${"a".repeat(2_000_000)}\r\n\r\n`,
  "too much header": `GET / HTTP/1.1\r\nHost: echo.localhost\r\nX-A: ${"a".repeat(140_000)}\r\n\r\n`,
};
for (const [what, request] of Object.entries(refused)) {
  test(`a request with ${what} is refused`, async () => {
    const answer = await raw(request);
    assert.match(answer, /^HTTP\/1\.1 4(00|31) /);
    assert.equal(answer.match(/HTTP\/1\.1 \d/g)!.length, 1);
    const [, code, ray] = /error \d+ \((\w+)\) .*ray ([0-9a-f]{16})/.exec(answer) ?? [];
    assert.ok(code !== undefined && answer.toLowerCase().includes(`cf-ray: ${ray}`), answer);
  });
}

test("what follows a good request and is none ends the connection after the good one's answer", async () => {
  const good = "GET /good HTTP/1.1\r\nHost: echo.localhost\r\n\r\n";
  const answer = await raw(`${good}nonsense\r\n\r\n`);
  assert.match(answer, /^HTTP\/1\.1 200 /);
  assert.match(answer, /\/good/);
});

test("an expectation that nobody knows is passed over", async () => {
  const { status } = await edge.fetch("echo.localhost", "/", { headers: { expect: "a-wonder" } });
  assert.equal(status, 200);
});

test("a body with another transfer coding than chunked is refused by name, and reaches no Worker", async () => {
  for (const coding of ["gzip, chunked", "identity,chunked"]) {
    const answer = await raw(
      `POST / HTTP/1.1\r\nHost: echo.localhost\r\nTransfer-Encoding: ${coding}\r\n\r\n3\r\nabc\r\n0\r\n\r\n`,
    );
    assert.match(answer, /^HTTP\/1\.1 501 /, coding);
    assert.match(answer, /transfer_coding_unsupported/, coding);
    assert.match(answer, /connection: close\r/i, coding);
  }
  const plain = `POST / HTTP/1.1\r\nHost: echo.localhost\r\nTransfer-Encoding: CHUNKED\r\n\r\n0\r\n\r\n`;
  assert.match(await raw(plain), /^HTTP\/1\.1 200 /);
});

test("a large header that Workers may have is let through", async () => {
  const { headers } = await seen("echo.localhost", "/", { "x-large": "a".repeat(30_000) });
  assert.equal(headers["x-large"]!.length, 30_000);
});

test("an edge that stops finishes what is in flight and accepts nothing new", async () => {
  const stopping = await startTestEdge({ source: edge.source, stopGrace: 5_000 });
  const upload = slowUpload(stopping, "echo.localhost");
  const begun = async (): Promise<string> =>
    (await stopping.fetch("echo.localhost", "/uploads")).text;
  await until(async () => (await begun()) === "1");
  const stopped = stopping[Symbol.asyncDispose]();
  // Before that, the kernel may have accepted a few connections for the process.
  await until(() =>
    stopping.fetch("echo.localhost").then(
      () => false,
      (error: NodeJS.ErrnoException) => error.code === "ECONNREFUSED",
    ),
  );
  const { body } = JSON.parse(await upload.finish()) as { body: string };
  assert.equal(body, "first last");
  await stopped;
});

async function raw(request: string): Promise<string> {
  const socket = connect(edge.edge.httpPort, "127.0.0.1");
  socket.write(request);
  socket.once("data", () => socket.end());
  return textOf(socket);
}
