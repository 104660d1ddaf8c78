import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { WebSocket } from "ws";
import type { WorkerBinding } from "../src/contract/change-feed.ts";
import { answering, startTestEdge, type TestEdge } from "./helpers/edge.ts";
import { ACCOUNT, makeVersion, TestSource } from "./helpers/source.ts";
import { until } from "./helpers/until.ts";

const AFTER = 400;
let edge: TestEdge;
before(async () => (edge = await startTestEdge({ idleAfter: AFTER })));
after(() => edge[Symbol.asyncDispose]());

async function untilIdle(...scriptNames: string[]): Promise<void> {
  await until(() => scriptNames.every((name) => edge.worker(name).state === "idle"));
}

test("a Worker without requests is stopped, shown as idle, and started by the next request", async () => {
  await edge.deploy(makeVersion("sleepy", answering("awake")));
  await edge.fetch("sleepy.localhost");
  const { pid } = edge.worker("sleepy");
  await untilIdle("sleepy");
  assert.equal(edge.worker("sleepy").pid, null);
  assert.throws(() => process.kill(pid!, 0), { code: "ESRCH" });
  assert.equal((await edge.fetch("sleepy.localhost")).text, "awake");
  const woken = edge.worker("sleepy");
  assert.equal(woken.state, "running");
  assert.notEqual(woken.pid, pid);
});

test("requests that arrive together at an idle Worker share one start", async () => {
  await edge.deploy(
    makeVersion(
      "shared",
      `let born;
    export default { fetch: () => new Response(born ??= crypto.randomUUID()) };`,
    ),
  );
  await untilIdle("shared");
  const answers = await Promise.all(
    Array.from({ length: 100 }, () => edge.fetch("shared.localhost")),
  );
  assert.deepEqual([...new Set(answers.map(({ status }) => status))], [200]);
  assert.equal(new Set(answers.map(({ text }) => text)).size, 1);
});

test("requests at the very moment of a stop are all answered", async () => {
  await edge.deploy(
    makeVersion(
      "edgewise",
      `export default {
    async fetch(request) { return new Response(await request.text()); } };`,
    ),
  );
  let starts = 0;
  let last: number | null = null;
  for (let round = 0; round < 25; round++) {
    // Around the moment of the stop, in steps of a few milliseconds.
    await delay(AFTER - 20 + ((round * 13) % 120));
    const sent = Array.from({ length: 8 }, (_, i) =>
      delay(i * 4).then(() =>
        edge.fetch("edgewise.localhost", "/", { method: "POST", body: `${round}.${i}` }),
      ),
    );
    const answers = await Promise.all(sent);
    assert.deepEqual(
      answers.map(({ status, text }) => `${status} ${text}`),
      answers.map((_, i) => `200 ${round}.${i}`),
    );
    const { pid } = edge.worker("edgewise");
    if (pid !== last) starts++;
    last = pid;
  }
  assert.ok(starts > 1, "it was never stopped: the test proves nothing");
});

test("a WebSocket opens at an idle Worker, and keeps it from being stopped for as long as it is open", async () => {
  await edge.deploy(
    makeVersion(
      "talker",
      `export default { fetch() {
    const [client, server] = Object.values(new WebSocketPair());
    server.accept();
    server.addEventListener("message", ({ data }) => server.send("got " + data));
    return new Response(null, { status: 101, webSocket: client });
  } };`,
    ),
  );
  await untilIdle("talker");
  const socket = new WebSocket(`ws://127.0.0.1:${edge.edge.httpPort}/`, {
    headers: { host: "talker.localhost" },
  });
  await new Promise((resolve, reject) => socket.once("open", resolve).once("error", reject));
  const { pid } = edge.worker("talker");
  await delay(AFTER * 3);
  const told = new Promise((resolve) =>
    socket.once("message", (data: Buffer) => resolve(data.toString())),
  );
  socket.send("this");
  assert.equal(await told, "got this");
  assert.equal(edge.worker("talker").pid, pid);
  socket.close();
  await untilIdle("talker");
});

test("what a Worker calls is woken with it, through fetch and RPC, and runs for as long as it does", async () => {
  const target = `import { WorkerEntrypoint } from "cloudflare:workers";
    export class Admin extends WorkerEntrypoint { greet() { return "admin"; } }
    export default class extends WorkerEntrypoint {
      fetch() { return new Response("fetched"); } }`;
  const caller = `export default { async fetch(request, env) {
    return new Response(await (await env.TARGET.fetch("https://t/")).text() + " " + await env.ADMIN.greet());
  } };`;
  await edge.deploy(makeVersion("called", target));
  await edge.deploy(
    makeVersion("calling", caller, [
      { type: "service", name: "TARGET", service: "called" },
      { type: "service", name: "ADMIN", service: "called", entrypoint: "Admin" },
    ]),
  );
  for (let round = 0; round < 3; round++) {
    await untilIdle("calling", "called");
    assert.equal((await edge.fetch("calling.localhost")).text, "fetched admin");
    const { pid } = edge.worker("called");
    const end = performance.now() + AFTER * 2;
    while (performance.now() < end) {
      assert.equal((await edge.fetch("calling.localhost")).text, "fetched admin");
      await delay(50);
    }
    assert.equal(edge.worker("called").pid, pid, "nobody asked it but its caller");
  }
});

test("Workers that call each other are stopped together and woken together", async () => {
  await edge.deploy(makeVersion("ping", asking("ping"), [bindingTo("pong")]));
  await edge.deploy(makeVersion("pong", asking("pong"), [bindingTo("ping")]));
  for (let round = 0; round < 2; round++) {
    await untilIdle("ping", "pong");
    assert.equal((await edge.fetch("ping.localhost")).text, "pong was asked");
    assert.equal((await edge.fetch("pong.localhost")).text, "ping was asked");
  }
});

test("a deployment replaces an idle Worker, and the new version is what its next request starts", async () => {
  await edge.deploy(makeVersion("renewed", answering("one")));
  await untilIdle("renewed");
  await edge.stageAndDeploy(makeVersion("renewed", answering("two")));
  assert.equal((await edge.fetch("renewed.localhost")).text, "two");
  await untilIdle("renewed");
  assert.equal((await edge.fetch("renewed.localhost")).text, "two");
});

test("a process that is killed while it starts for a request is started again, and nothing is lost", async () => {
  const slow = `let x = 0; for (let i = 0; i < 1e8; i++) x += i;
    export default { fetch: () => new Response("up " + (x > 0)) };`;
  await edge.deploy(makeVersion("killed", slow));
  await untilIdle("killed");
  const earlier = processes(edge);
  const answer = edge.fetch("killed.localhost");
  let started: string | undefined;
  await until(() => {
    started = processes(edge).find((pid) => !earlier.includes(pid));
    return started !== undefined;
  });
  assert.notEqual(edge.worker("killed").state, "running");
  process.kill(Number(started), "SIGKILL");
  const { status, text } = await answer;
  assert.deepEqual([status, text], [200, "up true"]);
  assert.equal(edge.worker("killed").restarts, 1);
});

test("a Worker that fails to start for a request gives the code that it always gave, and is tried again with pauses", async () => {
  await using other = await startTestEdge({
    idleAfter: AFTER,
    source: sourceWith("throw new Error('never');"),
  });
  assert.equal(other.worker("lazy").state, "idle");
  const { status, text } = await other.fetch("lazy.localhost");
  assert.equal(status, 503);
  assert.match(text, /worker_unavailable/);
  const { state, lastExit } = other.worker("lazy");
  assert.equal(state, "restarting");
  assert.match(lastExit ?? "", /never/);
});

test("at the start of an edge no Worker runs before its first request", async () => {
  await using other = await startTestEdge({
    idleAfter: AFTER,
    source: sourceWith(answering("late")),
  });
  assert.deepEqual([other.worker("lazy").state, other.worker("lazy").pid], ["idle", null]);
  assert.equal((await other.fetch("lazy.localhost")).text, "late");
});

test("without an idle time, Workers are started at once and never stopped", async () => {
  await using other = await startTestEdge({ source: sourceWith(answering("busy")) });
  assert.equal(other.worker("lazy").state, "running");
  const { pid } = other.worker("lazy");
  await delay(AFTER * 2);
  assert.equal(other.worker("lazy").pid, pid);
});

test("a Worker that the platform calls (cron triggers, queues) is not stopped, nor is what it calls", async () => {
  await edge.deploy(makeVersion("helper", answering("help")));
  const version = makeVersion(
    "timed",
    `export default {
    fetch: () => new Response("here"), async scheduled(event, env) { await env.HELP.fetch("https://h/"); } };`,
    [{ type: "service", name: "HELP", service: "helper" }],
  );
  await edge.deploy({ ...version, takesEvents: true });
  const pids = [edge.worker("timed").pid, edge.worker("helper").pid];
  await delay(AFTER * 4);
  assert.deepEqual([edge.worker("timed").pid, edge.worker("helper").pid], pids);
  const { outcome } = await edge.edge.scheduled({
    accountId: ACCOUNT,
    scriptName: "timed",
    cron: "* * * * *",
    scheduledTime: 0,
  });
  assert.equal(outcome, "ok");
});

test("a waitUntil() task has its time before its Worker is stopped", async () => {
  await using other = await startTestEdge({ idleAfter: 1, waitUntil: 700 });
  await other.deploy(makeVersion("target", answering("noted")));
  const version = makeVersion(
    "later",
    `export default { fetch(request, env, ctx) {
    ctx.waitUntil((async () => { await scheduler.wait(600); console.log("done-late"); })());
    return new Response("ok"); } };`,
  );
  await other.deploy(version);
  await other.fetch("later.localhost");
  const asked = performance.now();
  await until(() => other.worker("later").state === "idle");
  assert.ok(performance.now() - asked >= 1_390, "twice the time of waitUntil()");
});

/** A Worker that calls the other one when asked to, and answers its calls. */
function asking(name: string): string {
  return `export default { async fetch(request, env) {
    if (new URL(request.url).pathname === "/end") return new Response("${name} was asked");
    return env.OTHER.fetch("https://o/end"); } };`;
}

function bindingTo(service: string): WorkerBinding {
  return { type: "service", name: "OTHER", service };
}

function sourceWith(code: string): TestSource {
  const source = new TestSource();
  source.deploy(makeVersion("lazy", code));
  return source;
}

/** The ids of all processes that were started. */
function processes({ runDirectory }: TestEdge): readonly string[] {
  return readdirSync(join(runDirectory, "pids"));
}
