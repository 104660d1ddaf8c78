import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { request as httpRequest, type IncomingMessage } from "node:http";
import { createSecureServer, type Http2ServerRequest, type Http2ServerResponse } from "node:http2";
import { connect, type AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import { test, type TestContext } from "node:test";
import { WebSocket, WebSocketServer } from "ws";
import type { StartGatewayOptions } from "../src/gateway/start-options.ts";
import { ask, edgeCertificate, testGateway, type TestGateway } from "./helpers/gateway.ts";
import { startOrigin } from "./helpers/origin.ts";
import { makeAuthority, type TestAuthority } from "./helpers/pki.ts";

const MIB = 1024 * 1024;
const SIZE = Number(process.env["COUNTERSIGN_STREAM_MIB"] ?? 256) * MIB;

test("an origin that prefers HTTP/2 gets it, one connection for many requests", async (t) => {
  const { authority, gateway } = await ready(t);
  const origin = await http2Origin(t, authority, (request, response) => {
    response.setHeader("x-version", request.httpVersion);
    request.pipe(response);
  });
  const answers = await Promise.all(
    Array.from({ length: 20 }, (_, index) =>
      ask(gateway.socket(), `${origin.url}/${index}`, { method: "POST", body: `body ${index}` }),
    ),
  );
  for (const [index, answer] of answers.entries()) {
    assert.deepEqual([answer.status, answer.text], [200, `body ${index}`]);
    assert.equal(answer.headers["x-version"], "2.0");
  }
  assert.equal(origin.sessions(), 1);
});

test("over HTTP/2 too a truncated body never ends cleanly, and aborts reach the origin", async (t) => {
  const { authority, gateway } = await ready(t);
  const aborted = Promise.withResolvers<void>();
  const origin = await http2Origin(t, authority, (request, response) => {
    response.write("half");
    if (request.url === "/cut") setImmediate(() => response.stream.close(2));
    else response.once("close", () => aborted.resolve());
  });
  await assert.rejects(ask(gateway.socket(), `${origin.url}/cut`), { code: "ECONNRESET" });
  const request = httpRequest({ socketPath: gateway.socket(), path: `${origin.url}/held` });
  request.on("error", () => {}).end();
  const [response] = (await once(request, "response")) as [IncomingMessage];
  await once(response, "data");
  request.destroy();
  await aborted.promise;
});

for (const http2 of [false, true]) {
  const protocol = http2 ? "HTTP/2" : "HTTP/1.1";

  test(`time-outs over ${protocol} have their own codes, and end the exchange`, async (t) => {
    const timeouts = { headers: 500, body: 500 };
    const { authority, gateway } = await ready(t, {
      http2,
      metricsPort: 0,
      timeouts,
    });
    const ended = Promise.withResolvers<void>();
    const origin = await http2Origin(t, authority, (request, response) => {
      if (request.url === "/body") response.once("close", () => ended.resolve()).write("half");
    });
    const silent = await ask(gateway.socket(), `${origin.url}/headers`);
    assert.equal(silent.headers["countersign-failure"], "origin_headers_timeout");
    assert.equal(silent.status, 524);
    const { error } = JSON.parse(silent.text);
    assert.deepEqual([error.certificateId, error.tls], ["c", "TLSv1.3"], "the connection is known");
    await assert.rejects(ask(gateway.socket(), `${origin.url}/body`), { code: "ECONNRESET" });
    await ended.promise;
    const url = `http://127.0.0.1:${gateway.handle.metricsPort()}/metrics`;
    const metrics = await (await fetch(url)).text();
    for (const code of ["origin_headers_timeout", "origin_body_timeout"]) {
      assert.match(metrics, new RegExp(`countersign_failures_total\\{.*code="${code}"\\} 1`));
    }
  });
}

test("a GET that times out on a connection that was used is sent once more, and timed again", async (t) => {
  const { authority, gateway } = await ready(t, { timeouts: { headers: 300 } });
  const asked: string[] = [];
  await using origin = await startOrigin({
    authority,
    handler: ({ method, url }, response) => {
      asked.push(`${method} ${url}`);
      if (url === "/") response.end();
    },
  });
  await ask(gateway.socket(), `${origin.url}/`);
  const silent = await ask(gateway.socket(), `${origin.url}/silent`);
  assert.equal(silent.headers["countersign-failure"], "origin_headers_timeout");
  assert.deepEqual(asked, ["GET /", "GET /silent", "GET /silent"]);
});

test("an upgrade that is never answered times out", async (t) => {
  const { authority, gateway } = await ready(t, { timeouts: { headers: 300 } });
  const origin = await http2Origin(t, authority, (_, response) => response.end());
  origin.server.on("upgrade", (_: unknown, socket: Duplex) => void socket.on("error", () => {}));
  const client = new WebSocket(`ws+unix://${gateway.socket()}:${origin.url}/socket`);
  const [, response] = (await once(client, "unexpected-response")) as [unknown, IncomingMessage];
  assert.equal(response.headers["countersign-failure"], "origin_headers_timeout");
  client.on("error", () => {}).terminate();
});

test("a WebSocket goes over HTTP/1.1 although the origin prefers HTTP/2", async (t) => {
  const { authority, gateway } = await ready(t);
  const origin = await http2Origin(t, authority, (_, response) => response.end());
  const sockets = new WebSocketServer({ server: origin.server as never });
  sockets.on("connection", (socket) => {
    socket.on("message", (data, binary) => socket.send(data, { binary }));
  });
  await ask(gateway.socket(), `${origin.url}/`);
  const client = new WebSocket(`ws+unix://${gateway.socket()}:${origin.url}/socket`);
  await once(client, "open");
  const message = Buffer.alloc(MIB, 7);
  client.send(message);
  const [echoed] = (await once(client, "message")) as [Buffer];
  assert.deepEqual(echoed, message);
  client.close();
  await once(client, "close");
});

test(`${SIZE / MIB} MiB up and down, at constant memory`, async (t) => {
  const { authority, gateway } = await ready(t);
  await using origin = await startOrigin({
    authority,
    handler: (request, response) => request.pipe(response),
  });
  const { pid } = gateway.handle.status();
  await ask(gateway.socket(), `${origin.url}/`);
  const before = await memory(pid!);
  let most = before;
  const chunk = Buffer.alloc(MIB, 1);
  const request = httpRequest({
    socketPath: gateway.socket(),
    path: `${origin.url}/`,
    method: "POST",
    headers: { "content-length": SIZE },
  });
  const sent = createHash("sha1");
  const upload = (async () => {
    for (let at = 0; at < SIZE; at += MIB) {
      sent.update(chunk);
      if (!request.write(chunk)) await once(request, "drain");
      if (at % (16 * MIB) === 0) most = Math.max(most, await memory(pid!));
    }
    request.end();
  })();
  const [response] = (await once(request, "response")) as [IncomingMessage];
  const received = createHash("sha1");
  for await (const data of response) received.update(data);
  await upload;
  assert.equal(received.digest("hex"), sent.digest("hex"));
  t.diagnostic(`the gateway grew by ${Math.round((most - before) / MIB)} MiB at most`);
  // Garbage that was not collected yet is as much for 1 GiB as for 128 MiB.
  if (before > 0) assert.ok(most - before < 128 * MIB, `grew by ${most - before} bytes`);
});

for (const [what, head] of [
  ["both Content-Length and Transfer-Encoding", "Content-Length: 5\r\nTransfer-Encoding: chunked"],
  ["two Content-Lengths", "Content-Length: 5\r\nContent-Length: 6"],
  ["a Content-Length list", "Content-Length: 5, 5"],
  ["a signed Content-Length", "Content-Length: +5"],
  ["a folded header", "X-A: 1\r\n folded"],
  ["a bare line feed", "X-A: 1\nX-B: 2"],
  ["space before the colon", "Content-Length : 5"],
  ["an unknown Transfer-Encoding", "Transfer-Encoding: chunked, identity"],
  ["a control character", "X-A: \u0000"],
] as const) {
  test(`a request with ${what} reaches no origin`, async (t) => {
    const { authority, gateway } = await ready(t);
    await using origin = await startOrigin({ authority });
    const answer = await raw(
      gateway,
      `POST ${origin.url}/ HTTP/1.1\r\n${head}\r\n\r\n0\r\n\r\nGET ${origin.url}/smuggled HTTP/1.1\r\n\r\n`,
    );
    assert.match(answer, /^HTTP\/1\.1 520 Failed\r\n[^]*"code":"origin_request_malformed"/);
    assert.equal(origin.subjects.length, 0);
  });
}

test("a request header of 16 KiB is the most, and a larger one is refused", async (t) => {
  const { authority, gateway } = await ready(t);
  await using origin = await startOrigin({ authority });
  const ask15 = await ask(gateway.socket(), `${origin.url}/`, {
    headers: { "x-large": "x".repeat(15_000) },
  });
  assert.equal(ask15.status, 200);
  const ask17 = await ask(gateway.socket(), `${origin.url}/`, {
    headers: { "x-large": "x".repeat(17_000) },
  });
  assert.equal(ask17.status, 431);
});

test("the Host is the URL's, and a failure header of an origin's own is dropped", async (t) => {
  const { authority, gateway } = await ready(t);
  await using origin = await startOrigin({
    authority,
    handler: (request, response) => {
      response.setHeader("countersign-failure", "origin_refused");
      response.end(request.headers.host);
    },
  });
  const answer = await ask(gateway.socket(), `${origin.url}/`, {
    headers: { host: "evil.example" },
  });
  assert.equal(answer.text, `localhost:${origin.port}`);
  assert.equal(answer.headers["countersign-failure"], undefined);
});

for (const [method, outcome, sent] of [
  ["GET", 200, 3],
  ["POST", 520, 2],
] as const) {
  test(`a ${method} on a connection that the origin just closed: ${outcome}, ${sent - 1} sent`, async (t) => {
    const { authority, gateway } = await ready(t);
    let requests = 0;
    await using origin = await startOrigin({
      authority,
      handler: (request, response) => {
        requests += 1;
        // The second request comes on the first one's connection while that is closing.
        if (requests === 2) request.socket.destroy();
        else response.end();
      },
    });
    assert.equal((await ask(gateway.socket(), `${origin.url}/`)).status, 200);
    const answer = await ask(gateway.socket(), `${origin.url}/`, { method });
    assert.equal(answer.status, outcome);
    assert.equal(requests, sent);
    if (outcome === 520) assert.equal(answer.headers["countersign-failure"], "origin_closed");
  });
}

for (const [method, outcome, sent] of [
  ["GET", 200, 3],
  ["POST", 520, 2],
] as const) {
  test(`a ${method} whose HTTP/2 session the origin ends with an error: ${outcome}, ${sent - 1} sent`, async (t) => {
    const { authority, gateway } = await ready(t);
    let requests = 0;
    const origin = await http2Origin(t, authority, ({ stream }, response) => {
      requests += 1;
      if (requests !== 2) {
        response.end();
        return;
      }
      stream.session?.goaway(2);
      setImmediate(() => stream.session?.destroy());
    });
    assert.equal((await ask(gateway.socket(), `${origin.url}/`)).status, 200);
    const answer = await ask(gateway.socket(), `${origin.url}/`, { method });
    assert.equal(answer.status, outcome, answer.text);
    assert.equal(requests, sent);
    if (outcome === 520) {
      assert.equal(answer.headers["countersign-failure"], "origin_closed");
      assert.match(answer.text, /"tls":"TLSv1.3"/);
    }
  });
}

test("trace context passes through", async (t) => {
  const { authority, gateway } = await ready(t);
  await using origin = await startOrigin({
    authority,
    handler: (request, response) => response.end(request.headers["traceparent"]),
  });
  const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
  const answer = await ask(gateway.socket(), `${origin.url}/`, { headers: { traceparent } });
  assert.equal(answer.text, traceparent);
});

for (const maxVersion of ["TLSv1.2", "TLSv1.3"] as const) {
  test(`on ${maxVersion} sessions are resumed within a certificate version, and never by another`, async (t) => {
    const { authority, gateway } = await ready(t);
    const connections: [string, boolean][] = [];
    await using origin = await startOrigin({
      authority,
      tls: { maxVersion },
      handler: (_, response) => {
        response.shouldKeepAlive = false;
        response.end();
      },
    });
    origin.server.on("secureConnection", (socket) => {
      connections.push([socket.getPeerX509Certificate()?.subject ?? "", socket.isSessionReused()]);
    });
    for (let count = 0; count < 3; count += 1) await ask(gateway.socket(), `${origin.url}/`);
    await gateway.handle.setCertificate(
      edgeCertificate(await authority.issue({ subject: "CN=second" }), { version: 2 }),
    );
    await ask(gateway.socket(), `${origin.url}/`);
    await ask(gateway.socket(), `${origin.url}/`);
    assert.deepEqual(connections, [
      ["CN=client", false],
      ["CN=client", true],
      ["CN=client", true],
      ["CN=second", false],
      ["CN=second", true],
    ]);
  });
}

async function ready(
  t: TestContext,
  options: Partial<StartGatewayOptions> = {},
): Promise<{ authority: TestAuthority; gateway: TestGateway }> {
  const authority = await makeAuthority();
  const gateway = await testGateway(t, options);
  await gateway.handle.setTrust("a", { authorities: [authority.pem], hosts: {}, proxied: [] });
  await gateway.handle.setCertificate(
    edgeCertificate(await authority.issue({ subject: "CN=client" })),
  );
  await gateway.bind();
  return { authority, gateway };
}

async function http2Origin(
  t: TestContext,
  authority: TestAuthority,
  handler: (request: Http2ServerRequest, response: Http2ServerResponse) => void,
): Promise<{ url: string; server: ReturnType<typeof createSecureServer>; sessions(): number }> {
  const { chain, key } = await authority.issue({ subject: "CN=localhost", dns: ["localhost"] });
  const server = createSecureServer(
    {
      cert: chain,
      key,
      ca: authority.pem,
      requestCert: true,
      rejectUnauthorized: true,
      allowHTTP1: true,
    },
    handler,
  );
  let sessions = 0;
  server.on("session", () => (sessions += 1));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => server.close());
  return {
    url: `https://localhost:${(server.address() as AddressInfo).port}`,
    server,
    sessions: () => sessions,
  };
}

async function raw(gateway: TestGateway, text: string): Promise<string> {
  const socket = connect(gateway.socket());
  socket.write(text, "latin1");
  const chunks: Buffer[] = await socket.toArray();
  return Buffer.concat(chunks).toString("latin1");
}

/** Resident memory in bytes; 0 without /proc. */
async function memory(pid: number): Promise<number> {
  try {
    const statm = await readFile(`/proc/${pid}/statm`, "utf8");
    return Number(statm.split(" ")[1]) * 4096;
  } catch {
    return 0;
  }
}
