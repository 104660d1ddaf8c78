import assert from "node:assert/strict";
import { request } from "node:http";
import { afterEach, beforeEach, test } from "node:test";
import { WebSocket } from "ws";
import type { WorkerVersion } from "../src/contract/change-feed.ts";
import { answering, startTestEdge, type TestEdge } from "./helpers/edge.ts";
import { makeVersion } from "./helpers/source.ts";
import { until } from "./helpers/until.ts";

const IDLE = 400;
let edge: TestEdge;
beforeEach(async () => {
  edge = await startTestEdge({ previews: { account: 2, all: 3, idleAfter: IDLE } });
});
afterEach(() => edge[Symbol.asyncDispose]());

const hostOf = ({ versionId, scriptName }: WorkerVersion): string =>
  `${versionId.slice(0, 8)}-${scriptName}.localhost`;

/** The first version is deployed; each of the others has its own host. */
async function deployWith(first: WorkerVersion, ...others: WorkerVersion[]): Promise<void> {
  for (const version of others) edge.source.keep(version);
  const previews = others.map((version) => ({
    versionId: version.versionId,
    hosts: [hostOf(version)],
  }));
  await edge.deploy(first, { previews });
}

const statesOf = ({ versionId }: WorkerVersion): readonly string[] =>
  edge.edge
    .status()
    .workers.filter((worker) => worker.versionId === versionId)
    .map(({ state }) => state);

test("a version at its host is started by its first request, takes WebSockets, and is stopped when nobody asks", async () => {
  const next = makeVersion(
    "shop",
    `export default { fetch(request) {
      if (request.headers.get("upgrade") !== "websocket") return new Response("next");
      const [client, server] = Object.values(new WebSocketPair());
      server.accept();
      server.send("from next");
      return new Response(null, { status: 101, webSocket: client });
    } };`,
  );
  await deployWith(makeVersion("shop", answering("deployed")), next);
  assert.deepEqual(statesOf(next), []);

  const answers = await Promise.all(Array.from({ length: 20 }, () => edge.fetch(hostOf(next))));
  assert.deepEqual(new Set(answers.map(({ text }) => text)), new Set(["next"]));
  assert.deepEqual(statesOf(next), ["running"]);
  assert.equal((await edge.fetch("shop.localhost")).text, "deployed");
  await until(() => statesOf(next).length === 0);

  const socket = new WebSocket(`ws://127.0.0.1:${edge.edge.httpPort}/`, {
    headers: { host: hostOf(next) },
  });
  const [message] = await new Promise<unknown[]>((resolve, reject) => {
    socket.once("message", (...told) => resolve(told)).once("error", reject);
  });
  assert.equal(String(message), "from next");
  socket.close();
  const posted = await edge.fetch(hostOf(next), "/", { method: "POST", body: "a body" });
  assert.equal(posted.text, "next");
});

test("the host of a version that does not exist, or no longer exists, is nobody's", async () => {
  const next = makeVersion("shop", answering("next"));
  await deployWith(makeVersion("shop", answering("deployed")), next);
  assert.equal((await edge.fetch("0a0a0a0a-shop.localhost")).status, 404);
  assert.equal((await edge.fetch(hostOf(next))).text, "next");
  await edge.deploy(makeVersion("shop", answering("deployed again")));
  assert.equal((await edge.fetch(hostOf(next))).status, 404);
});

test("an account's previews stay within its limit: an idle one makes room, a busy one does not", async () => {
  const waiting = `export default { async fetch(request) {
    if (new URL(request.url).pathname !== "/hold") return new Response("answered");
    return new Response(new ReadableStream({ async pull(controller) {
      controller.enqueue(new TextEncoder().encode("."));
      await scheduler.wait(20);
    } }));
  } };`;
  const versions = Array.from({ length: 3 }, () => makeVersion("many", waiting));
  const [one, two, three] = versions as [WorkerVersion, WorkerVersion, WorkerVersion];
  await deployWith(makeVersion("many", answering("deployed")), ...versions);
  const held = await Promise.all([one, two].map((version) => hold(hostOf(version))));
  const refused = await edge.fetch(hostOf(three));
  assert.equal(refused.status, 503);
  assert.match(refused.text, /7000374 \(previews_exhausted\)/);
  assert.equal((await edge.fetch("many.localhost")).text, "deployed");
  held[0]!.cancel();
  await until(async () => (await edge.fetch(hostOf(three))).status === 200);
  assert.deepEqual(statesOf(three), ["running"]);
  held[1]!.cancel();
});

test("a version that does not start says so, and harms no other", async () => {
  const broken = makeVersion("shop", `throw new Error("not today");`);
  await deployWith(makeVersion("shop", answering("deployed")), broken);
  const refused = await edge.fetch(hostOf(broken));
  assert.equal(refused.status, 503);
  assert.match(refused.text, /worker_unavailable/);
  assert.equal((await edge.fetch("shop.localhost")).text, "deployed");
});

test("a preview calls the deployed service, also after another deploy of it", async () => {
  const next = makeVersion(
    "caller",
    `export default { async fetch(request, env) {
      return new Response("next says " + await env.SERVICE.text()); } };`,
    [{ type: "service", name: "SERVICE", service: "service" }],
  );
  await edge.deploy(service("one"));
  await deployWith(makeVersion("caller", answering("deployed")), next);
  assert.equal((await edge.fetch(hostOf(next))).text, "next says one");
  await edge.deploy(service("two"));
  assert.equal((await edge.fetch(hostOf(next))).text, "next says two");
});

function service(text: string): WorkerVersion {
  return makeVersion(
    "service",
    `import { WorkerEntrypoint } from "cloudflare:workers";
    export default class extends WorkerEntrypoint { text() { return "${text}"; } }`,
  );
}

/** A request that runs until it is cancelled; its answer has begun. */
async function hold(host: string): Promise<{ cancel(): void }> {
  const controller = new AbortController();
  await new Promise<void>((resolve, reject) => {
    const asked = request(
      { port: edge.edge.httpPort, path: "/hold", headers: { host }, signal: controller.signal },
      (response) => {
        response.on("error", () => {});
        if (response.statusCode === 200) response.once("data", () => resolve());
        else reject(new Error(`${host}: ${response.statusCode}`));
      },
    );
    asked.on("error", reject);
    asked.end();
  });
  return { cancel: () => controller.abort() };
}
