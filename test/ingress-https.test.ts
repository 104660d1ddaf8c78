import assert from "node:assert/strict";
import { once } from "node:events";
import {
  connect as connectHttp2,
  type ClientHttp2Session,
  type OutgoingHttpHeaders,
} from "node:http2";
import type { IncomingMessage } from "node:http";
import { request } from "node:https";
import { text as textOf } from "node:stream/consumers";
import { after, before, test } from "node:test";
import { connect as connectTls } from "node:tls";
import { WebSocket } from "ws";
import type { Host } from "../src/contract/hosts.ts";
import { hostKeyPlace } from "../src/keys/places.ts";
import { Keyring } from "../src/keys/seal.ts";
import { answering, startTestEdge, type TestEdge } from "./helpers/edge.ts";
import { makeAuthority, type TestAuthority, type TestCertificate } from "./helpers/pki.ts";
import { ACCOUNT, makeVersion, MASTER_KEY } from "./helpers/source.ts";
import { until } from "./helpers/until.ts";

const WORKER = `export default { async fetch(request, env, ctx) {
  const { pathname } = new URL(request.url);
  if (request.headers.get("upgrade") === "websocket") {
    const [client, server] = Object.values(new WebSocketPair());
    server.accept();
    server.addEventListener("message", ({ data }) => server.send("echo " + data));
    return new Response(null, { status: 101, webSocket: client });
  }
  if (pathname === "/count") {
    let bytes = 0;
    for await (const chunk of request.body) bytes += chunk.length;
    return Response.json({ bytes });
  }
  if (pathname === "/big") {
    let left = 64;
    return new Response(new ReadableStream({ pull(controller) {
      if (left-- > 0) controller.enqueue(new Uint8Array(1024 * 1024)); else controller.close();
    } }));
  }
  if (pathname === "/breaks") {
    return new Response(new ReadableStream({ start(controller) {
      controller.enqueue(new TextEncoder().encode("begun"));
      setTimeout(() => controller.error(new Error("broken")), 50);
    } }));
  }
  if (pathname === "/cookies") {
    const headers = new Headers({ "content-type": "text/plain" });
    headers.append("set-cookie", "a=1"); headers.append("set-cookie", "b=2");
    return new Response(request.headers.get("cookie"), { headers });
  }
  const { url, cf, headers, method } = request;
  return Response.json({ url, cf, method, headers: Object.fromEntries(headers), body: await request.text() });
} };`;

let edge: TestEdge;
let authority: TestAuthority;
let port = 0;
before(async () => {
  authority = await makeAuthority();
  const byDefault = pairOf(await authority.issue({ subject: "CN=default", dns: ["*.localhost"] }));
  edge = await startTestEdge({
    https: { host: "127.0.0.1", port: 0, redirect: false, byDefault },
  });
  port = Number(new URL(edge.edge.httpsUrl!).port);
  await edge.deploy(makeVersion("echo", WORKER), {
    hosts: ["echo.localhost", "one.example", "two.example", "a.wild.example", "b.wild.example"],
  });
  await edge.edge.applied(
    edge.source.setHosts([
      await host("one.example"),
      await host("*.wild.example"),
      await host("b.wild.example"),
    ]),
  );
});
after(() => edge[Symbol.asyncDispose]());

async function host(name: string): Promise<Host> {
  const leaf = await authority.issue({ subject: `CN=${name}`, dns: [name] });
  const { chain, key } = pairOf(leaf);
  const sealedId = name;
  const sealedKey = new Keyring(MASTER_KEY).seal(hostKeyPlace(ACCOUNT, sealedId), key);
  return { host: name, certificate: { chain, sealedKey, sealedId }, clients: null };
}

function pairOf({ chain, key }: TestCertificate): { chain: string; key: string } {
  return { chain, key };
}

interface Answer {
  readonly status: number;
  readonly text: string;
  readonly headers: Readonly<Record<string, unknown>>;
}

interface Asked {
  readonly path?: string;
  readonly method?: string;
  readonly headers?: OutgoingHttpHeaders;
  readonly body?: string;
  /** Another name than the host's. */
  readonly serverName?: string;
}

function overHttp1(name: string, asked: Asked = {}): Promise<Answer> {
  const { path = "/", method = "GET", headers = {}, body, serverName = name } = asked;
  return new Promise((resolve, reject) => {
    request(
      {
        host: "127.0.0.1",
        port,
        path,
        method,
        servername: serverName,
        ca: authority.pem,
        agent: false,
        checkServerIdentity: () => undefined,
        headers: { host: `${name}:${port}`, ...headers },
      },
      (response: IncomingMessage) => {
        textOf(response).then(
          (text) => resolve({ status: response.statusCode!, text, headers: response.headers }),
          reject,
        );
      },
    )
      .on("error", reject)
      .end(body);
  });
}

function session(serverName: string): ClientHttp2Session {
  return connectHttp2(`https://${serverName}:${port}`, {
    ca: authority.pem,
    servername: serverName,
    checkServerIdentity: () => undefined,
    createConnection: () =>
      connectTls({
        host: "127.0.0.1",
        port,
        servername: serverName,
        ca: authority.pem,
        ALPNProtocols: ["h2"],
        checkServerIdentity: () => undefined,
      }),
  }).on("error", () => {});
}

async function overHttp2(name: string, asked: Asked = {}): Promise<Answer> {
  const { serverName = name } = asked;
  const client = session(serverName);
  try {
    return await on(client, name, asked);
  } finally {
    client.close();
  }
}

async function on(client: ClientHttp2Session, name: string, asked: Asked = {}): Promise<Answer> {
  const { path = "/", method = "GET", headers = {}, body } = asked;
  const stream = client.request(
    { ":authority": `${name}:${port}`, ":path": path, ":method": method, ...headers },
    { endStream: body === undefined },
  );
  if (body !== undefined) stream.end(body);
  const [response] = (await once(stream, "response")) as [Record<string, unknown>];
  return { status: Number(response[":status"]), text: await textOf(stream), headers: response };
}

const ways = { "HTTP/1.1": overHttp1, "HTTP/2": overHttp2 };

for (const [protocol, ask] of Object.entries(ways)) {
  test(`over ${protocol} a Worker sees an https URL and what was agreed on`, async () => {
    const { status, text } = await ask("echo.localhost", { path: "/a?b=1" });
    assert.equal(status, 200, text);
    const { url, cf, headers } = JSON.parse(text);
    assert.equal(url, `https://echo.localhost:${port}/a?b=1`);
    assert.equal(cf.httpProtocol, protocol);
    assert.equal(cf.tlsVersion, "TLSv1.3");
    assert.match(
      cf.tlsCipher,
      /^AEAD-(AES128-GCM-SHA256|AES256-GCM-SHA384|CHACHA20-POLY1305-SHA256)$/,
    );
    assert.deepEqual(
      [cf.tlsClientAuth.certPresented, cf.tlsClientAuth.certVerified],
      ["0", "NONE"],
    );
    assert.equal(headers["cf-visitor"], `{"scheme":"https"}`);
    assert.equal(headers["cf-connecting-ip"], "127.0.0.1");
  });

  test(`over ${protocol} a body reaches the Worker, and cookies go both ways`, async () => {
    const { text } = await ask("echo.localhost", { method: "POST", body: "whole" });
    assert.deepEqual([JSON.parse(text).method, JSON.parse(text).body], ["POST", "whole"]);
    const cookies = await ask("echo.localhost", {
      path: "/cookies",
      headers: { cookie: "x=1; y=2" },
    });
    assert.equal(cookies.text, "x=1; y=2");
    assert.deepEqual(cookies.headers["set-cookie"], ["a=1", "b=2"]);
  });

  test(`over ${protocol} 64 MiB come and go, and the ingress does not hold them`, async () => {
    const held = await memoryOf(edge.edge.status().ingress.pid!);
    const big = await ask("echo.localhost", { path: "/big" });
    assert.equal(big.text.length, 64 * 1024 * 1024);
    const up = await ask("echo.localhost", {
      path: "/count",
      method: "POST",
      body: "x".repeat(64 * 1024 * 1024),
    });
    assert.deepEqual(JSON.parse(up.text), { bytes: 64 * 1024 * 1024 });
    const grown = (await memoryOf(edge.edge.status().ingress.pid!)) - held;
    assert.ok(grown < 100, `it grew by ${grown} MiB`);
  });

  test(`over ${protocol} an answer that breaks off does not end cleanly`, async () => {
    await assert.rejects(ask("echo.localhost", { path: "/breaks" }));
  });

  test(`over ${protocol} a host of no Worker is answered 404`, async () => {
    const { status, text } = await ask("nobody.example");
    assert.equal(status, 404, text);
    assert.match(text, /host_unknown/);
  });
}

async function memoryOf(pid: number): Promise<number> {
  const { readFile } = await import("node:fs/promises");
  const status = await readFile(`/proc/${pid}/status`, "utf8");
  return Number(/VmRSS:\s+(\d+)/.exec(status)![1]) / 1024;
}

async function presented(serverName: string | undefined): Promise<string> {
  const socket = connectTls({
    host: "127.0.0.1",
    port,
    ...(serverName !== undefined && { servername: serverName }),
    rejectUnauthorized: false,
  });
  await once(socket, "secureConnect");
  const { subject } = socket.getPeerCertificate();
  socket.destroy();
  return String(subject.CN);
}

test("each host presents its own certificate: exact before wildcard, the default for the others", async () => {
  assert.equal(await presented("one.example"), "one.example");
  assert.equal(await presented("ONE.example"), "one.example");
  assert.equal(await presented("a.wild.example"), "*.wild.example");
  assert.equal(await presented("b.wild.example"), "b.wild.example");
  assert.equal(await presented("two.example"), "default");
  assert.equal(await presented(undefined), "default");
});

test("a handshake for one host opens no other host that has its own certificate", async () => {
  for (const ask of Object.values(ways)) {
    const other = await ask("one.example", { serverName: "b.wild.example" });
    assert.equal(other.status, 421, other.text);
    assert.match(other.text, /host_misdirected/);
    assert.equal((await ask("one.example", { serverName: "two.example" })).status, 421);
    // Both have what all accounts have.
    assert.equal((await ask("two.example", { serverName: "echo.localhost" })).status, 200);
  }
});

test("a certificate is swapped without a lost connection", async () => {
  const client = session("one.example");
  assert.equal((await on(client, "one.example")).status, 200);
  const fresh = await host("one.example");
  await edge.edge.applied(
    edge.source.setHosts([fresh, await host("*.wild.example"), await host("b.wild.example")]),
  );
  assert.equal((await on(client, "one.example")).status, 200);
  client.close();
  const socket = connectTls({
    host: "127.0.0.1",
    port,
    servername: "one.example",
    ca: authority.pem,
  });
  await once(socket, "secureConnect");
  const { X509Certificate } = await import("node:crypto");
  const wanted = new X509Certificate(fresh.certificate!.chain).fingerprint256;
  assert.equal(socket.getPeerCertificate().fingerprint256, wanted);
  socket.destroy();
});

test("WebSockets go over HTTP/1.1 with TLS", async () => {
  const socket = new WebSocket(`wss://127.0.0.1:${port}/`, {
    headers: { host: "echo.localhost" },
    servername: "echo.localhost",
    ca: authority.pem,
    checkServerIdentity: () => undefined,
  } as never);
  await once(socket, "open");
  socket.send("hello");
  const [data] = (await once(socket, "message")) as [Buffer];
  assert.equal(data.toString(), "echo hello");
  socket.close();
  await once(socket, "close");
});

test("WebSockets go over HTTP/2, beside other requests of the same connection", async () => {
  const client = session("echo.localhost");
  await once(client, "remoteSettings");
  assert.equal(client.remoteSettings.enableConnectProtocol, true);
  const stream = client.request({
    ":method": "CONNECT",
    ":protocol": "websocket",
    ":scheme": "https",
    ":path": "/",
    ":authority": `echo.localhost:${port}`,
    "sec-websocket-version": "13",
  });
  const [head] = (await once(stream, "response")) as [Record<string, unknown>];
  assert.equal(head[":status"], 200);
  // A text frame "hi", masked with zeros.
  stream.write(Buffer.from([0x81, 0x82, 0, 0, 0, 0, 0x68, 0x69]));
  const [frame] = (await once(stream, "data")) as [Buffer];
  assert.equal(frame.subarray(2).toString(), "echo hi");
  assert.equal((await on(client, "echo.localhost")).status, 200);
  stream.close();
  client.close();
});

test("a client that goes away in the middle of its upload over HTTP/2 cuts it for the Worker", async () => {
  const client = session("echo.localhost");
  const stream = client.request({
    ":authority": `echo.localhost:${port}`,
    ":path": "/count",
    ":method": "POST",
  });
  stream.on("error", () => {});
  stream.write("begun");
  const { ingress } = edge.edge.status();
  stream.close(8);
  assert.equal((await on(client, "echo.localhost")).status, 200);
  assert.equal(edge.edge.status().ingress.pid, ingress.pid);
  client.destroy();
});

test("an ingress that is killed comes back with its certificates", async () => {
  const { pid } = edge.edge.status().ingress;
  process.kill(pid!, "SIGKILL");
  await until(async () => {
    const { pid: now } = edge.edge.status().ingress;
    return (
      now !== undefined &&
      now !== pid &&
      (await overHttp2("one.example").catch(() => null))?.status === 200
    );
  });
});

async function attempt(options: object): Promise<string | null> {
  const socket = connectTls({
    host: "127.0.0.1",
    port,
    servername: "one.example",
    ca: authority.pem,
    ...options,
  });
  try {
    await once(socket, "secureConnect");
    return socket.getProtocol();
  } catch {
    return null;
  } finally {
    socket.destroy();
  }
}

test("only TLS 1.2 with forward secrecy and authenticated encryption, and TLS 1.3, are spoken", async () => {
  assert.equal(await attempt({}), "TLSv1.3");
  assert.equal(await attempt({ maxVersion: "TLSv1.2" }), "TLSv1.2");
  assert.equal(
    await attempt({ maxVersion: "TLSv1.1", minVersion: "TLSv1", ciphers: "DEFAULT@SECLEVEL=0" }),
    null,
  );
  assert.equal(await attempt({ maxVersion: "TLSv1.2", ciphers: "ECDHE-ECDSA-AES128-SHA" }), null);
});

test("plain requests are sent to TLS where that is asked for, except the challenges of ACME", async () => {
  const byDefault = pairOf(await authority.issue({ subject: "CN=default", dns: ["*.localhost"] }));
  await using redirecting = await startTestEdge({
    https: { host: "127.0.0.1", port: 0, redirect: true, byDefault },
  });
  const { port: secure } = new URL(redirecting.edge.httpsUrl!);
  await redirecting.deploy(makeVersion("hello", answering("hello")));
  const { status, headers } = await redirecting.fetch("hello.localhost", "/a?b");
  assert.deepEqual([status, headers.location], [301, `https://hello.localhost:${secure}/a?b`]);
  const posted = await redirecting.fetch("hello.localhost", "/a", { method: "POST", body: "x" });
  assert.equal(posted.status, 308);
  const challenge = await redirecting.fetch("hello.localhost", "/.well-known/acme-challenge/x");
  assert.equal(challenge.status, 200);
});
