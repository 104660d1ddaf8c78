import assert from "node:assert/strict";
import { once } from "node:events";
import { request } from "node:http";
import { createServer, type AddressInfo } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { after, before, describe, it, test } from "node:test";
import type { KeptEntry } from "../src/contract/journal.ts";
import { WebSocket } from "ws";
import { countersign } from "./helpers/cli.ts";
import { startPlatform, type TestPlatform } from "./helpers/platform.ts";
import { scriptForm } from "./helpers/script-form.ts";
import { until } from "./helpers/until.ts";

const SOURCE = `export default {
  async fetch(request) {
    if (request.headers.get("upgrade") === "websocket") {
      const [client, server] = Object.values(new WebSocketPair());
      server.accept();
      server.addEventListener("message", ({ data }) => server.send("echo " + data));
      return new Response(null, { status: 101, webSocket: client });
    }
    if (request.method === "POST") return new Response(String((await request.arrayBuffer()).byteLength));
    return new Response("hello");
  },
};`;

describe("what one Worker may take", () => {
  let platform: TestPlatform;
  before(async () => {
    platform = await startPlatform({
      args: ["--worker-requests", "2", "--worker-body", "1", "--drain", "1"],
    });
    for (const name of ["one", "other"]) await deploy(name);
  });
  after(() => platform[Symbol.asyncDispose]());

  const deploy = async (name: string): Promise<void> => {
    const modules = { "index.js": ["application/javascript+module", SOURCE] } as const;
    const form = scriptForm({ compatibility_date: "2026-11-01" }, modules);
    const { json } = await platform.api("PUT", `/accounts/{account}/workers/scripts/${name}`, form);
    assert.deepEqual(json.errors, []);
  };
  const open = async (script: string): Promise<WebSocket> => {
    const { port } = new URL(platform.ready.http);
    const headers = { host: `${script}.localhost:${port}` };
    const socket = new WebSocket(`ws://127.0.0.1:${port}/`, { headers });
    await once(socket, "open");
    return socket;
  };
  const failures = async (script: string): Promise<KeptEntry[]> => {
    const { stdout } = await countersign(["logs", script, "--json", "--data", platform.dataFolder]);
    const lines = stdout
      .trim()
      .split("\n")
      .filter((line) => line !== "");
    return lines
      .map((line) => JSON.parse(line) as KeptEntry)
      .filter(({ kind }) => kind === "failure");
  };

  it("requests and WebSockets at once: more are refused with 1027, of that Worker alone", async () => {
    const sockets = [await open("one"), await open("one")];
    const refused = await platform.worker("one", "/");
    assert.equal(refused.status, 429);
    assert.match(refused.body, /error 1027 \(worker_requests_exceeded\)/);
    assert.equal((await platform.worker("other", "/")).body, "hello");
    for (const socket of sockets) socket.close();
    await until(async () => (await platform.worker("one", "/")).status === 200);
    await until(async () => {
      const found = await failures("one");
      const ray = String(refused.headers["cf-ray"]);
      return found.some((entry) => entry.code === "worker_requests_exceeded" && entry.ray === ray);
    });
  });

  it("a body: more is refused with 413, whether its length was told or not", async () => {
    const post = async (bytes: number, chunked: boolean): Promise<[number, string]> => {
      const { port } = new URL(platform.ready.http);
      const body = Buffer.alloc(bytes, "x");
      const sent = request({
        host: "127.0.0.1",
        port,
        method: "POST",
        headers: {
          host: `other.localhost:${port}`,
          ...(chunked ? { "transfer-encoding": "chunked" } : { "content-length": bytes }),
        },
      });
      sent.on("error", () => {});
      sent.end(body);
      const [response] = await once(sent, "response");
      let text = "";
      for await (const chunk of response) text += String(chunk);
      return [response.statusCode, text];
    };
    for (const chunked of [false, true]) {
      assert.deepEqual(await post(1_048_576, chunked), [200, "1048576"]);
      const [status, text] = await post(1_048_577, chunked);
      assert.equal(status, 413, text);
      assert.match(text, /worker_body_too_large/);
    }
    assert.equal((await platform.worker("other", "/")).body, "hello");
  });

  it("a WebSocket stays with the replaced version for the time of --drain", async () => {
    await deploy("kept");
    const socket = await open("kept");
    const closed = once(socket, "close");
    const began = performance.now();
    await deploy("kept");
    socket.send("still");
    const [message] = await once(socket, "message");
    assert.equal(String(message), "echo still");
    await Promise.race([
      closed,
      delay(40_000, null, { ref: false }).then(() => assert.fail("it was not closed")),
    ]);
    assert.ok(performance.now() - began > 900);
    assert.equal((await platform.worker("kept", "/")).body, "hello");
  });
});

test("connections without a binding: the Worker that opens more than its memory holds ends alone", async (t) => {
  const server = createServer((socket) => void socket.on("error", () => {}));
  server.listen(0, "127.0.0.1", 4096);
  await once(server, "listening");
  t.after(() => server.close());
  const { port } = server.address() as AddressInfo;
  await using platform = await startPlatform({ args: ["--fetch-allow", "public", "local"] });
  const flood = `import { connect } from "cloudflare:sockets";
export default {
  async fetch(request) {
    if (new URL(request.url).pathname === "/") return new Response("hello");
    const held = [];
    const open = async () => {
      const socket = connect("127.0.0.1:${port}");
      held.push(socket);
      await socket.opened;
    };
    for (;;) await Promise.all(Array.from({ length: 100 }, open));
  },
};`;
  for (const name of ["flood", "other"]) {
    const modules = { "index.js": ["application/javascript+module", flood] } as const;
    const form = scriptForm({ compatibility_date: "2026-11-01" }, modules);
    const { json } = await platform.api("PUT", `/accounts/{account}/workers/scripts/${name}`, form);
    assert.deepEqual(json.errors, []);
  }
  const state = { hasEnded: false };
  const ended = platform.worker("flood", "/open").finally(() => (state.hasEnded = true));
  while (!state.hasEnded) assert.equal((await platform.worker("other")).body, "hello");
  const { status } = await ended;
  assert.ok(status >= 500, String(status));
  await until(async () => (await platform.worker("flood")).body === "hello");
  assert.match(platform.log(), /exceeded its memory limit of 128 MiB|Too many open files/);
});

test("what a Worker writes does not fill the platform's own log", async () => {
  await using platform = await startPlatform();
  const flood = `export default {
  fetch() {
    for (let i = 0; i < 300; i++) console.log("x".repeat(100_000));
    console.log("last");
    return new Response("done");
  },
};`;
  const modules = { "index.js": ["application/javascript+module", flood] } as const;
  const form = scriptForm({ compatibility_date: "2026-11-01" }, modules);
  const path = "/accounts/{account}/workers/scripts/loud";
  assert.deepEqual((await platform.api("PUT", path, form)).json.errors, []);
  await until(async () => {
    assert.equal((await platform.worker("loud")).body, "done");
    return platform.log().includes("were left out here");
  });
  assert.ok(platform.log().length < 20_000_000, String(platform.log().length));
  assert.match(platform.log(), /x{16384}… \(100000 characters\)/);
});
