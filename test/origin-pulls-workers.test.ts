import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { request, type IncomingHttpHeaders } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text as textOf } from "node:stream/consumers";
import { after, before, test } from "node:test";
import Cloudflare from "cloudflare";
import { WebSocket, WebSocketServer } from "ws";
import { subjectOf, startOrigin, type TestOrigin } from "./helpers/origin.ts";
import { makeAuthority, type TestAuthority } from "./helpers/pki.ts";
import { startPlatform, type TestPlatform } from "./helpers/platform.ts";
import { scriptForm } from "./helpers/script-form.ts";

const ZONE = "example.com";
const WORKER = `export default {
  async fetch(request) {
    const url = new URL(request.url);
    if (url.pathname === "/away") {
      return fetch("https://elsewhere.invalid/").then(
        () => new Response("reached"),
        () => new Response("not reached"),
      );
    }
    const answer = await fetch(request);
    if (answer.webSocket) return answer;
    return new Response("worker saw " + (await answer.text()), answer);
  },
};`;
let folder: string;
let authority: TestAuthority;
let origin: TestOrigin;
let platform: TestPlatform;
let client: Cloudflare;
let zone_id: string;
let recordId: string;
let seen: IncomingHttpHeaders = {};

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "origin-pulls-"));
  authority = await makeAuthority("Origins");
  origin = await startOrigin({
    authority,
    dns: [ZONE, `*.${ZONE}`],
    handler: (asked, response) => {
      seen = asked.headers;
      asked.pipe(response.writeHead(200, { "x-url": `${asked.method} ${asked.url}` }));
    },
  });
  platform = await startPlatform({
    dataFolder: join(folder, "data"),
    args: ["--dev", "--origin-port", String(origin.port)],
  });
  const { api: baseURL, token: apiToken, accountId: id } = platform.ready;
  client = new Cloudflare({ apiToken, baseURL, maxRetries: 0 });
  const ca = { certificates: authority.pem, ca: true, name: "origins" };
  await platform.api("POST", "/accounts/{account}/mtls_certificates", ca);
  zone_id = (await client.zones.create({ account: { id }, name: ZONE })).id;
  const modules = { "index.js": ["application/javascript+module", WORKER] } as const;
  const scripts = "/accounts/{account}/workers/scripts/front";
  const put = await platform.api(
    "PUT",
    scripts,
    scriptForm({ compatibility_date: "2026-11-01" }, modules),
  );
  assert.ok(put.json.success, JSON.stringify(put.json.errors));
  await client.workers.routes.create({ zone_id, pattern: `${ZONE}/*`, script: "front" });
  const record = { zone_id, type: "A", name: "@", content: "127.0.0.1", ttl: 1 } as const;
  recordId = (await client.dns.records.create({ ...record, proxied: true })).id;
  await client.originTLSClientAuth.settings.update({ zone_id, enabled: true });
  await present("first");
});
after(async () => {
  await platform[Symbol.asyncDispose]();
  await origin[Symbol.asyncDispose]();
  await rm(folder, { recursive: true });
});

async function present(name: string): Promise<string> {
  const { chain, key } = await authority.issue({ subject: `CN=${name}` });
  const pair = { certificate: chain, private_key: key };
  const made = await client.originTLSClientAuth.zoneCertificates.create({ zone_id, ...pair });
  return made.id ?? "";
}

interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
}

function ask(path: string, body = "", headers: Record<string, string> = {}): Promise<Answer> {
  const { port } = new URL(platform.ready.http);
  const method = body === "" ? "GET" : "POST";
  const wanted = { host: "127.0.0.1", port, path, method, agent: false };
  return new Promise((resolve, reject) => {
    request({ ...wanted, headers: { host: ZONE, ...headers } }, (response) => {
      const { statusCode: status = 0, headers: got } = response;
      textOf(response).then((text) => resolve({ status, headers: got, text }), reject);
    })
      .on("error", reject)
      .end(body);
  });
}

test("fetch(request) in a Worker goes to the origin of its host, with the certificate", async () => {
  const answer = await ask("/a/b?c=%2F", "hello");
  assert.equal(answer.status, 200, answer.text);
  assert.equal(answer.text, "worker saw hello");
  assert.equal(answer.headers["x-url"], "POST /a/b?c=%2F");
  assert.equal(seen.host, ZONE);
  assert.equal(origin.subjects.at(-1), "CN=first");
});

test("what it fetches elsewhere goes there, and an origin that leads back is a loop", async () => {
  assert.equal((await ask("/away")).text, "not reached");
  await ask("/");
  const { text } = await ask("/", "", { "cdn-loop": String(seen["cdn-loop"]) });
  assert.match(text, /host_origin_loop/);
});

test("the certificate of what it fetches is rotated with no request lost", async () => {
  const answers: string[] = [];
  const over = new AbortController();
  const asking = Array.from({ length: 4 }, async () => {
    while (!over.signal.aborted) answers.push((await ask("/", "x")).text);
  });
  try {
    for (const name of ["second", "third"]) {
      const earlier: string[] = [];
      const { zoneCertificates } = client.originTLSClientAuth;
      for await (const { id = "" } of zoneCertificates.list({ zone_id })) earlier.push(id);
      await present(name);
      for (const id of earlier) await zoneCertificates.delete(id, { zone_id });
      await ask("/");
      assert.equal(origin.subjects.at(-1), `CN=${name}`);
    }
  } finally {
    over.abort();
  }
  await Promise.all(asking);
  assert.deepEqual(new Set(answers), new Set(["worker saw x"]));
});

test("a WebSocket that a Worker passes on by fetch(request) reaches the origin, with the certificate", async () => {
  using server = closing(new WebSocketServer({ server: origin.server }));
  let subject = "";
  server.on("connection", (socket, asked) => {
    subject = subjectOf(asked);
    socket.on("message", (text: Buffer) => socket.send(`origin heard ${text.toString()}`));
    socket.on("close", (code, reason) => closed.resolve([code, reason.toString()]));
  });
  const closed = Promise.withResolvers<[number, string]>();
  const socket = new WebSocket(platform.ready.http.replace("http", "ws"), {
    headers: { host: ZONE },
  });
  await once(socket, "open");
  for (const word of ["one", "two"]) {
    socket.send(word);
    const [answer] = (await once(socket, "message")) as [Buffer];
    assert.equal(answer.toString(), `origin heard ${word}`);
  }
  assert.match(subject, /^CN=/);
  socket.close(4001, "enough");
  assert.deepEqual(await closed.promise, [4001, "enough"]);
});

function closing(server: WebSocketServer): WebSocketServer & Disposable {
  return Object.assign(server, { [Symbol.dispose]: () => server.close() });
}

test("a host whose record goes is fetched as any other again", async () => {
  await client.dns.records.delete(recordId, { zone_id });
  const asked = origin.subjects.length;
  await ask("/");
  assert.equal(origin.subjects.length, asked);
});
