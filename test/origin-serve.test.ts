import assert from "node:assert/strict";
import { execFileSync, spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { Agent, request as send } from "node:https";
import { connect as connectTcp, createServer as createTcpServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { text } from "node:stream/consumers";
import { after, afterEach, before, test } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import { connect } from "node:tls";
import { parsePolicy, RevokedSerials, Trust, workerSpiffeId } from "countersign-origin";
import { startSidecar } from "countersign-origin/sidecar";
import { WebSocket, WebSocketServer } from "ws";
import { countersign } from "./helpers/cli.ts";
import { withoutOpenssl } from "./helpers/openssl-server.ts";
import { pipelined } from "./helpers/pipelined.ts";
import { padded } from "./helpers/padded-client.ts";
import { makeAuthority, type TestAuthority, type TestCertificate } from "./helpers/pki.ts";
import { program } from "./helpers/program.ts";
import { until } from "./helpers/until.ts";

/** Bytes: more than kernels keep for a connection. */
const LARGE = 32 * 1024 * 1024;
const LARGE_STEP = 4 * 1024 * 1024;
const folder = mkdtempSync(join(tmpdir(), "countersign-sidecar-"));
const SEED = {
  allow: [
    { worker: ["a", "b"], methods: ["GET", "POST"] },
    { worker: "c", methods: "GET" },
  ],
};

let ca: TestAuthority;
let server: TestCertificate;
let callers: Record<"a" | "b" | "c" | "foreign", TestCertificate>;
let service: Server;
let port: number;
const seen: IncomingMessage[] = [];
const children: ChildProcess[] = [];

before(async () => {
  ca = await makeAuthority("Acme");
  server = await ca.issue({ subject: "CN=localhost", dns: ["localhost"], ips: ["127.0.0.1"] });
  const [a, b, c, foreign] = await Promise.all([
    issue("a"),
    issue("b"),
    issue("c"),
    issue("a", { by: await makeAuthority("Acme") }),
  ]);
  callers = { a, b, c, foreign };
  writeFileSync(join(folder, "tls.crt"), server.chain);
  writeFileSync(join(folder, "tls.key"), server.key);
  writeFileSync(join(folder, "ca.pem"), ca.pem);
  service = createServer((request, response) => {
    seen.push(request);
    if (request.url === "/stream") response.write("first\n");
    else void answer(request, response);
  });
  const sockets = new WebSocketServer({ server: service });
  sockets.on("connection", (socket) => socket.on("message", (data) => socket.send(data)));
  port = await listening(service);
});

after(() => {
  service.closeAllConnections();
  service.close();
  rmSync(folder, { recursive: true });
});

afterEach(async () => {
  for (const child of children.splice(0)) {
    if (child.exitCode !== null || child.signalCode !== null) continue;
    child.kill("SIGKILL");
    await once(child, "exit");
  }
});

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  if (request.url === "/slow") await wait(700);
  if (request.url === "/large") return void response.end(Buffer.alloc(LARGE));
  response.end(`${request.method} ${await text(request)}`);
}

function issue(
  worker: string,
  { by = ca, account = "acme", environment = null as string | null } = {},
): Promise<TestCertificate> {
  const uri = workerSpiffeId({ trustDomain: "example.org", account, worker, environment });
  return by.issue({ subject: `CN=${worker},O=${account}`, uris: [uri] });
}

async function listening(it: Server | ReturnType<typeof createTcpServer>): Promise<number> {
  it.listen(0, "127.0.0.1");
  await once(it, "listening");
  return (it.address() as AddressInfo).port;
}

interface Started {
  readonly url: string;
  readonly child: ChildProcess;
  readonly said: () => string;
}

/** Runs the command with its own files. */
async function serve(to = `http://127.0.0.1:${port}`, ...more: string[]): Promise<Started> {
  writeFileSync(join(folder, "policy.json"), JSON.stringify(SEED));
  const files = "--cert tls.crt --key tls.key --trust ca.pem --policy policy.json";
  const argv = ["origin", "serve", "--listen", "127.0.0.1:0", ...files.split(" ")];
  const child = spawn(process.execPath, [program, ...argv, "--to", to, "--json", ...more], {
    cwd: folder,
    stdio: ["ignore", "pipe", "pipe"],
  });
  children.push(child);
  let said = "";
  child.stderr.on("data", (chunk: Buffer) => (said += chunk.toString()));
  const [line] = (await Promise.race([
    once(createInterface(child.stdout), "line"),
    once(child, "exit").then(() => assert.fail(said)),
  ])) as [string];
  const ready = JSON.parse(line) as { ready: boolean; url: string };
  assert.equal(ready.ready, true);
  return { url: ready.url, child, said: () => said };
}

interface Answer {
  readonly status: number;
  readonly body: string;
  readonly headers: IncomingMessage["headers"];
  /** The client's port: two requests with the same port came over one connection. */
  readonly from: number | undefined;
}

async function ask(
  url: string,
  caller: TestCertificate | null,
  { method = "GET", body = "", headers = {}, agent = new Agent() } = {},
): Promise<Answer> {
  const request = send(url, {
    method,
    headers,
    agent,
    ca: ca.pem,
    ...(caller && { cert: caller.chain, key: caller.key }),
  });
  request.end(body);
  const [response] = (await once(request, "response")) as [IncomingMessage];
  const from = request.socket?.localPort;
  return {
    status: response.statusCode!,
    body: await text(response),
    headers: response.headers,
    from,
  };
}

test("A and B write, C reads, C's write is a 403 that says why, and strangers get nowhere", async () => {
  const { url } = await serve();
  assert.match(url, /^https:\/\/127\.0\.0\.1:\d+$/);
  seen.length = 0;
  for (const name of ["a", "b"] as const) {
    const written = await ask(url, callers[name], { method: "POST", body: "x".repeat(300_000) });
    assert.deepEqual([written.status, written.body.length], [200, 300_005]);
  }
  assert.equal((await ask(url, callers.c)).status, 200);
  const refused = await ask(url, callers.c, { method: "POST", body: "x" });
  assert.equal(refused.status, 403);
  assert.deepEqual(JSON.parse(refused.body), {
    error: {
      code: "method_not_allowed",
      message: 'Worker "c" of account "acme" may GET, and no rule lets it POST',
    },
  });
  assert.match((await ask(url, null)).body, /certificate_missing/);
  assert.match((await ask(url, callers.foreign)).body, /certificate_authority_mismatch/);
  assert.equal(seen.length, 3);
});

test("the service learns who calls, and nothing that a client says of it; hop-by-hop headers end here", async () => {
  const { url } = await serve();
  seen.length = 0;
  const c = await issue("c", { environment: "pré prod" });
  await ask(url, c, {
    headers: {
      "X-Countersign-Worker": "a",
      x_countersign_worker: "a",
      "X-Countersign-Role": "admin",
      "Client-Cert": ":AAAA:",
      "Client-Cert-Chain": ":AAAA:",
      Client_Cert: ":AAAA:",
      Connection: "keep-alive, X-Mine, Host",
      "X-Mine": "1",
      TE: "trailers",
      "Proxy-Authorization": "Basic eA==",
      "X-Other": "stays",
    },
  });
  const { headers, rawHeaders } = seen[0]!;
  const of = (prefix: RegExp): string[] =>
    rawHeaders.filter((name, i) => i % 2 === 0 && prefix.test(name)).toSorted();
  assert.deepEqual(of(/countersign|client.cert/i), [
    "Client-Cert",
    "X-Countersign-Account",
    "X-Countersign-Environment",
    "X-Countersign-Spiffe-Id",
    "X-Countersign-Worker",
  ]);
  assert.deepEqual(
    [headers["x-countersign-worker"], headers["x-countersign-account"], headers["x-other"]],
    ["c", "acme", "stays"],
  );
  assert.equal(headers["x-countersign-environment"], "pr%C3%A9%20prod");
  assert.match(
    headers["x-countersign-spiffe-id"] as string,
    /^spiffe:\/\/example\.org\/account\/acme\/worker\/c\/environment\/_u\.[0-9a-f]+$/,
  );
  assert.equal(headers["client-cert"], `:${Buffer.from(c.x509.rawData).toString("base64")}:`);
  assert.deepEqual(of(/^(x-mine|te|proxy-.*)$/i), []);
  assert.equal(headers.host, new URL(url).host);
});

test("what was judged is what the service gets: bodies of a GET, whole URLs, trailers", async () => {
  const { url } = await serve();
  const inner = "POST /inner HTTP/1.1\r\nHost: x\r\n\r\n";
  const chunk = `${inner.length.toString(16)}\r\n${inner}\r\n0\r\nX-Countersign-Worker: a\r\n\r\n`;
  const head = `GET http://other.test/whole?x=1 HTTP/1.1\r\nHost: mine.test\r\n`;
  seen.length = 0;
  const socket = connect({
    host: "127.0.0.1",
    port: Number(new URL(url).port),
    ca: ca.pem,
    cert: callers.c.chain,
    key: callers.c.key,
  });
  socket.write(`${head}Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n${chunk}`);
  assert.match(await text(socket), /^HTTP\/1\.1 200 /);
  for (const odd of ["X-Folded: a\r\n b", "X-Odd: \u0080\u00ff", "Expect: other", "X-Del: a\x7f"]) {
    const raw = connect({
      host: "127.0.0.1",
      port: Number(new URL(url).port),
      ca: ca.pem,
      cert: callers.c.chain,
      key: callers.c.key,
    }).on("error", () => {});
    raw.write(
      `GET /odd\u00e9 HTTP/1.1\r\nHost: x\r\n${odd}\r\nConnection: close\r\n\r\n`,
      "latin1",
    );
    assert.match(await text(raw), /^HTTP\/1\.1 (?:200|400|417|502) /);
  }
  assert.equal((await ask(url, callers.c)).status, 200);
  assert.deepEqual(
    seen
      .slice(0, 1)
      .map(({ method, url: path, headers, trailers }) => [method, path, headers.host, trailers]),
    [["GET", "/whole?x=1", "other.test", {}]],
  );
});

test("a policy that changes counts on an open connection; a broken file changes nothing", async () => {
  const { url, said } = await serve();
  // One connection: a request waits until the previous one has released the socket.
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const post = (): Promise<Answer> => ask(url, callers.a, { method: "POST", agent });
  try {
    const first = await post();
    assert.equal(first.status, 200);
    for (const [name, broken] of [
      ["policy.json", '{ "allow": [{ "methods": "GET" }] }'],
      ["ca.pem", "nothing"],
      ["tls.key", callers.a.key],
    ] as const) {
      writeFileSync(join(folder, name), broken);
      await until(() => said().includes(`${name}: not taken over`));
      assert.equal((await post()).status, 200);
      writeFileSync(join(folder, "ca.pem"), ca.pem);
      writeFileSync(join(folder, "tls.key"), server.key);
    }
    writeFileSync(join(folder, "policy.json"), '{ "allow": [{ "worker": "b" }] }');
    await until(async () => (await post()).status === 403);
    const refused = await post();
    assert.equal(refused.from, first.from);
    assert.match(refused.body, /caller_not_named/);
    assert.equal((await ask(url, callers.b)).status, 200);
  } finally {
    agent.destroy();
  }
});

test("a named pipe in the place of a file holds up none of the others", async (t) => {
  if (process.platform === "win32") return t.skip("there are no named pipes in folders");
  const { url, said } = await serve();
  const key = join(folder, "tls.key");
  rmSync(key);
  execFileSync("mkfifo", [key]);
  await until(() => said().includes("is no file"));
  writeFileSync(join(folder, "policy.json"), '{ "allow": [{ "worker": "b" }] }');
  await until(async () => (await ask(url, callers.a)).status === 403);
  rmSync(key);
  writeFileSync(key, server.key);
});

test("a stream and a WebSocket are judged, and cut when the policy lets their caller no more", async () => {
  const { url } = await serve();
  const open = (who: TestCertificate): WebSocket =>
    new WebSocket(url.replace("https", "wss"), { ca: ca.pem, cert: who.chain, key: who.key });
  const socket = open(callers.a);
  await once(socket, "open");
  socket.send("hello");
  assert.equal(String(((await once(socket, "message")) as [Buffer])[0]), "hello");
  const [, refused] = (await once(open(callers.foreign), "unexpected-response")) as [
    unknown,
    IncomingMessage,
  ];
  assert.equal(refused.statusCode, 401);
  seen.length = 0;
  const h2c = {
    connection: "Upgrade, HTTP2-Settings",
    upgrade: "h2c",
    "http2-settings": "AAMAAABk",
  };
  assert.match((await ask(url, callers.a, { headers: h2c })).body, /upgrade_not_supported/);
  assert.equal(seen.length, 0);
  const request = send(`${url}/stream`, {
    ca: ca.pem,
    cert: callers.a.chain,
    key: callers.a.key,
    agent: false,
  }).end();
  const [stream] = (await once(request, "response")) as [IncomingMessage];
  assert.equal(String(((await once(stream, "data")) as [Buffer])[0]), "first\n");
  const isCut = Promise.all([once(socket, "close"), once(stream, "error")]);
  writeFileSync(join(folder, "policy.json"), '{ "allow": [{ "worker": "b" }] }');
  await isCut;
});

test("a body in chunks of one byte reaches the service whole, in hundreds of bytes", async (t) => {
  const counting = createServer((request, response) => {
    let chunks = 0;
    let bytes = 0;
    request.on("data", (chunk: Buffer) => {
      chunks += 1;
      bytes += chunk.length;
    });
    request.on("end", () => response.end(JSON.stringify({ chunks, bytes })));
  });
  const { url } = await serve(`http://127.0.0.1:${await listening(counting)}`);
  t.after(() => counting.close());
  const { key, chain: cert } = callers.a;
  const client = connect({ port: Number(new URL(url).port), key, cert, ca: ca.pem });
  await once(client, "secureConnect");
  const head = "POST / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n";
  client.write(`${head}Transfer-Encoding: chunked\r\n\r\n`);
  client.write(`${"1\r\na\r\n".repeat(50_000)}0\r\n\r\n`);
  const [said = ""] = /\{.*\}/.exec(await text(client)) ?? [];
  const { chunks, bytes } = JSON.parse(said) as { chunks: number; bytes: number };
  assert.equal(bytes, 50_000);
  assert.ok(chunks < 2_000, `${chunks} chunks`);
});

test("a client whose TLS carries next to nothing is cut", { skip: withoutOpenssl }, async () => {
  const { url } = await serve(`http://127.0.0.1:${port}`);
  assert.ok(await padded(Number(new URL(url).port)));
});

test("a stranger's refused upgrade ends the connection, though the stranger keeps it open", async () => {
  const { url } = await serve();
  const at = { host: "127.0.0.1", port: Number(new URL(url).port), allowHalfOpen: true };
  const raw = connectTcp(at);
  const socket = connect({ socket: raw, ca: ca.pem });
  let said = "";
  socket.on("data", (chunk: Buffer) => (said += chunk.toString()));
  socket.on("error", () => {});
  await once(socket, "secureConnect");
  socket.write("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
  await until(() => said.includes("certificate_missing"));
  // Only a socket that is gone answers more bytes with a reset.
  let code = "";
  raw.on("error", (error: NodeJS.ErrnoException) => (code = error.code!));
  await until(() => {
    if (code === "") raw.write("more");
    return code !== "";
  });
  assert.match(code, /^(ECONNRESET|EPIPE)$/);
});

test("a caller that takes nothing of an answer is cut, one that reads slowly gets it whole", async () => {
  const { url } = await serve(`http://127.0.0.1:${port}`, "--client-stalled", "2");
  const [unread, slow] = await Promise.all(
    ["/large", "/large"].map(async (path) => {
      const agent = new Agent({ keepAlive: true });
      const { chain: cert, key } = callers.a;
      const request = send(url + path, { agent, ca: ca.pem, cert, key }).end();
      request.on("error", () => {});
      const [response] = (await once(request, "response")) as [IncomingMessage];
      return response;
    }),
  );
  const cut = once(unread!, "error");
  let length = 0;
  for await (const chunk of slow!) {
    if (
      Math.floor((length + (chunk as Buffer).length) / LARGE_STEP) > Math.floor(length / LARGE_STEP)
    )
      await wait(500);
    length += (chunk as Buffer).length;
  }
  assert.equal(length, LARGE);
  // It finds out when it reads.
  unread!.resume();
  const [{ code }] = (await cut) as [NodeJS.ErrnoException];
  assert.equal(code, "ECONNRESET");
});

test("a service that is away is a 502 with a code", async () => {
  const gone = createTcpServer();
  const free = await listening(gone);
  gone.close();
  const { url } = await serve(`http://127.0.0.1:${free}`);
  const { status, body } = await ask(url, callers.a, { method: "POST", body: "x" });
  assert.deepEqual([status, /"upstream_unreachable".*ECONNREFUSED/.test(body)], [502, true]);
});

test("a caller that sends thousands of requests without waiting is cut, one that sends 30 is answered", async () => {
  const started = await serve();
  const opened = () => {
    const { chain, key } = callers.a;
    const at = { host: "127.0.0.1", port: Number(new URL(started.url).port) };
    return connect({ ...at, cert: chain, key, rejectUnauthorized: false });
  };
  const request = "GET / HTTP/1.1\r\nhost: localhost\r\n\r\n";
  assert.equal(await pipelined(opened(), request, 30), 30);
  assert.ok((await pipelined(opened(), request, 5_000)) < 5_000);
});

test("SIGTERM answers what is in flight, then ends with status 0", async () => {
  const { url, child } = await serve();
  seen.length = 0;
  const slow = ask(`${url}/slow`, callers.a);
  await until(() => seen.length === 1);
  child.kill("SIGTERM");
  assert.equal((await slow).status, 200);
  if (child.exitCode === null) await once(child, "exit");
  assert.equal(child.exitCode, 0);
  await assert.rejects(ask(url, callers.a), /ECONNREFUSED/);
});

test("a revocation refuses the next request of an open connection, and cuts running streams", async () => {
  const trust = new Trust({ authorities: [ca.pem], policy: parsePolicy(SEED) });
  await using sidecar = await startSidecar({
    listen: { host: "127.0.0.1", port: 0 },
    to: { protocol: "http", host: "127.0.0.1", port },
    pair: { cert: server.chain, key: server.key },
    trust,
    log: () => {},
    drain: 100,
  });
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const first = await ask(sidecar.url, callers.a, { agent });
  assert.equal(first.status, 200);
  const revoked = new RevokedSerials();
  revoked.add(callers.a.x509.serialNumber);
  trust.replace({ revoked });
  const refused = await ask(sidecar.url, callers.a, { agent });
  assert.equal(refused.from, first.from);
  assert.match(refused.body, /certificate_revoked/);
  assert.equal((await ask(sidecar.url, callers.b)).status, 200);
  agent.destroy();
});

test("a raw service is reached by those whom a rule without methods lets in, and cut on revocation", async () => {
  const echo = createTcpServer((socket) => socket.on("error", () => {}).pipe(socket));
  const raw = await listening(echo);
  const policy = parsePolicy({ allow: [{ worker: ["a", "b"] }, { worker: "c", methods: "GET" }] });
  const trust = new Trust({ authorities: [ca.pem], policy });
  await using sidecar = await startSidecar({
    listen: { host: "127.0.0.1", port: 0 },
    to: { protocol: "tcp", host: "127.0.0.1", port: raw },
    pair: { cert: server.chain, key: server.key },
    trust,
    log: () => {},
    drain: 100,
  });
  echo.unref();
  const open = (who: TestCertificate): ReturnType<typeof connect> =>
    connect({
      host: "127.0.0.1",
      port: Number(new URL(sidecar.url.replace("tls:", "https:")).port),
      ca: ca.pem,
      cert: who.chain,
      key: who.key,
    }).on("error", () => {});
  for (const who of [callers.c, callers.foreign]) await once(open(who), "close");
  const [a, b] = [open(callers.a), open(callers.b)];
  for (const socket of [a, b]) {
    socket.write("hello");
    assert.equal(String(((await once(socket, "data")) as [Buffer])[0]), "hello");
  }
  const revoked = new RevokedSerials();
  revoked.add(callers.a.x509.serialNumber);
  const isCut = once(a, "close");
  trust.replace({ revoked });
  await isCut;
  // Half-closing one direction leaves the other open.
  b.end("last");
  assert.equal(await text(b), "last");
  echo.close();
});

test("what cannot be used is said at the start", async () => {
  const files = ["--cert", "tls.crt", "--key", "tls.key", "--trust", "ca.pem"];
  const argv = ["origin", "serve", ...files, "--policy", "policy.json"];
  const to = ["--to", "http://127.0.0.1:1"];
  for (const [more, status, code] of [
    [["--to", "ftp://x"], 2, "sidecar_option_malformed"],
    [["--to", "http://x/path"], 2, "sidecar_option_malformed"],
    [[...to, "--listen", "8443"], 2, "sidecar_option_malformed"],
    [[...to, "--client-stalled", "soon"], 2, "usage"],
    [[...to, "--cache", "x"], 2, "sidecar_option_malformed"],
    [[...to, "--api", "https://x"], 2, "sidecar_option_malformed"],
    [[...to, "--trust", "http://192.0.2.1", "--account", "x"], 2, "sidecar_option_malformed"],
    [[...to, "--key", "ca.pem"], 1, "sidecar_file_unusable"],
    [[...to, "--policy", "absent.json"], 1, "sidecar_file_unusable"],
  ] as const) {
    const run = await countersign([...argv, ...more, "--json"], { cwd: folder });
    assert.match(run.stdout, new RegExp(`"code":"${code}"`), more.join(" "));
    assert.equal(run.status, status);
  }
});

test("a sidecar has its share of connections, and none is held by a handshake that never comes", async () => {
  const trust = new Trust({ authorities: [ca.pem], policy: parsePolicy(SEED) });
  await using sidecar = await startSidecar({
    listen: { host: "127.0.0.1", port: 0 },
    to: { protocol: "http", host: "127.0.0.1", port },
    pair: { cert: server.chain, key: server.key },
    trust,
    log: () => {},
    maxConnections: 2,
    handshakeTimeout: 1_500,
  });
  const at = { host: "127.0.0.1", port: Number(new URL(sidecar.url).port) };
  const silent = [connectTcp(at), connectTcp(at), connectTcp(at)];
  for (const socket of silent) socket.on("error", () => {}).resume();
  const ends = silent.map((socket) => once(socket, "close"));
  await Promise.race(ends);
  assert.equal(silent.filter(({ closed }) => closed).length, 1, "it was one too many");
  await Promise.all(ends);
  assert.equal((await ask(sidecar.url, callers.a)).status, 200);
});
