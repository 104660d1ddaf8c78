import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { after, before, test } from "node:test";
import { countersign } from "./helpers/cli.ts";
import { answering, startTestEdge, type Answer, type TestEdge } from "./helpers/edge.ts";
import { loadDuring } from "./helpers/load.ts";
import { startPlatform } from "./helpers/platform.ts";
import { makeVersion } from "./helpers/source.ts";
import { until } from "./helpers/until.ts";

let edge: TestEdge;
before(async () => {
  edge = await startTestEdge({ ingressProcesses: 3, idleAfter: 400 });
});
after(() => edge[Symbol.asyncDispose]());

/** On a new connection, which any free process accepts. */
function ask(scriptName: string, from = edge): Promise<Answer> {
  return from.fetch(`${scriptName}.localhost`, "/", { agent: false });
}

function askOften(scriptName: string): Promise<Answer[]> {
  return Promise.all(Array.from({ length: 24 }, () => ask(scriptName)));
}

test("what is acknowledged is in force in every ingress process", async () => {
  for (const text of ["one", "two"]) {
    await edge.deploy(makeVersion("known", answering(text)));
    assert.deepEqual([...new Set((await askOften("known")).map((one) => one.text))], [text]);
  }
  await edge.edge.applied(edge.source.remove("known"));
  assert.deepEqual([...new Set((await askOften("known")).map(({ status }) => status))], [404]);
});

test("deploys and an ingress process that is killed cost the others' requests nothing", async () => {
  await edge.deploy(makeVersion("busy", answering("busy")));
  const { failed } = await loadDuring(edge, "busy.localhost", ["/"], async () => {
    await edge.deploy(makeVersion("busy", answering("busy again")));
  });
  assert.deepEqual(failed, []);
  const killed = edge.edge.status().ingressProcesses[1]!.pid!;
  process.kill(killed, "SIGKILL");
  await until(() => edge.edge.status().ingressProcesses[1]!.state !== "running");
  for (const { text } of await askOften("busy")) assert.equal(text, "busy again");
  await until(() => edge.edge.status().ingress.state === "running");
  assert.deepEqual(
    edge.edge.status().ingressProcesses.map(({ restarts }) => restarts),
    [0, 1, 0],
  );
});

test("a Worker is stopped for want of requests only where no ingress process has one", async () => {
  const slow = `export default { async fetch() {
    await scheduler.wait(1200);
    return new Response("in its own time");
  } };`;
  await edge.deploy(makeVersion("slow", slow));
  const answers = await Promise.all(Array.from({ length: 6 }, () => ask("slow")));
  assert.deepEqual([...new Set(answers.map(({ text }) => text))], ["in its own time"]);
  await until(() => edge.worker("slow").state === "idle");
  assert.equal((await ask("slow")).text, "in its own time");
});

test("a client has as many connections in all processes together as it would in one", async () => {
  await using limited = await startTestEdge({ ingressProcesses: 3, clientConnections: 30 });
  const open = new Set<Socket>();
  const sockets = Array.from({ length: 60 }, () => connect(limited.edge.httpPort, "127.0.0.1"));
  for (const socket of sockets) {
    socket.on("error", () => {}).once("close", () => open.delete(socket));
    socket.once("connect", () => open.add(socket));
  }
  try {
    // Connections above the limit are closed as soon as they are accepted.
    await until(() => sockets.every((socket) => !socket.connecting) && open.size <= 30);
    assert.ok(open.size > 0);
  } finally {
    for (const socket of sockets) socket.destroy();
    await Promise.all([...open].map((socket) => once(socket, "close")));
  }
});

test("what connects while the only ingress process is replaced waits for the next one", async () => {
  await using single = await startTestEdge();
  await single.deploy(makeVersion("patient", answering("patient")));
  process.kill(single.edge.status().ingress.pid!, "SIGKILL");
  await until(() => single.edge.status().ingress.state !== "running");
  assert.equal((await ask("patient", single)).text, "patient");
});

test("countersign start --ingress-processes starts as many, and status and metrics tell of them", async () => {
  const args = ["--dev", "--ingress-processes", "2", "--metrics-port", "0"];
  await using platform = await startPlatform({ args });
  const status = await countersign(["status", "--data", platform.dataFolder, "--json"]);
  const { processes } = JSON.parse(status.stdout) as {
    processes: readonly { name: string; state: string; pid: number }[];
  };
  const ingresses = processes.filter(({ name }) => name === "ingress");
  assert.deepEqual(
    ingresses.map(({ state }) => state),
    ["running", "running"],
  );
  assert.notEqual(ingresses[0]!.pid, ingresses[1]!.pid);
  const { http } = platform.ready;
  for (let count = 0; count < 10; count += 1) {
    await fetch(http, { headers: { connection: "close" } });
  }
  const metrics = await (await fetch(String(platform.ready.metrics))).text();
  assert.match(metrics, /^countersign_ingress_refused_total\{code="host_unknown"\} 10$/m);
  assert.equal(metrics.match(/^# HELP countersign_ingress_refused_total /gm)?.length, 1);
});
