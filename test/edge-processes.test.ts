import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { WorkerStatus } from "../src/contract/edge.ts";
import { answering, startTestEdge, type TestEdge } from "./helpers/edge.ts";
import { loadDuring } from "./helpers/load.ts";
import { makeVersion } from "./helpers/source.ts";
import { until } from "./helpers/until.ts";

let edge: TestEdge;
before(async () => {
  edge = await startTestEdge({ workerProcesses: 3 });
});
after(() => edge[Symbol.asyncDispose]());

/** Answers with the id of its process. */
const WHO = `let id;
export default { async fetch() {
  id ??= crypto.randomUUID();
  await scheduler.wait(20);
  return new Response(id);
} };`;

test("a Worker runs in as many processes as are asked for, and all of them answer", async () => {
  // So slow that all requests are in flight at once, on a busy machine too.
  const slow = WHO.replace("wait(20)", "wait(1_500)");
  await edge.stageAndDeploy(makeVersion("wide", slow));
  const pids = processes("wide").map(({ pid }) => pid);
  assert.equal(new Set(pids).size, 3);
  const answers = await Promise.all(Array.from({ length: 12 }, () => edge.fetch("wide.localhost")));
  const counts = Map.groupBy(answers, ({ text }) => text);
  // All have the same share, because a request goes to the process with the fewest.
  assert.deepEqual(
    [...counts.values()].map(({ length }) => length),
    [4, 4, 4],
  );
});

test("a redeploy under load loses no request, and leaves no process behind", async () => {
  await edge.stageAndDeploy(makeVersion("moved", WHO));
  const old = processes("moved").map(({ pid }) => pid!);
  const result = await loadDuring(edge, "moved.localhost", ["/"], async () => {
    await edge.stageAndDeploy(makeVersion("moved", WHO));
  });
  assert.deepEqual(result, { failed: [] });
  await until(() => processes("moved").length === 3);
  for (const pid of old) assert.throws(() => process.kill(pid, 0), { code: "ESRCH" });
});

test("while one process is gone the others answer, and it comes back", async () => {
  await edge.stageAndDeploy(makeVersion("hurt", WHO));
  const [first] = processes("hurt");
  const { failed } = await loadDuring(edge, "hurt.localhost", ["/"], async () => {
    process.kill(first!.pid!, "SIGKILL");
    await until(() => processes("hurt").every(({ state }) => state === "running"));
  });
  // Requests that the process had taken are lost and reported as failed; later ones are not.
  assert.ok(failed.length <= 4, failed.join("\n"));
  for (const one of failed) assert.match(one, /worker_connection_lost/);
  const names = new Set<string>();
  await until(async () => {
    names.add((await edge.fetch("hurt.localhost")).text);
    return names.size === 3;
  });
});

test("a version that does not start replaces none of the processes", async () => {
  await edge.stageAndDeploy(makeVersion("kept", answering("kept")));
  const old = processes("kept").map(({ pid }) => pid);
  await assert.rejects(edge.edge.stage(makeVersion("kept", "throw new Error('no')")), {
    code: "worker_start_failed",
  });
  assert.deepEqual(
    processes("kept").map(({ pid }) => pid),
    old,
  );
  assert.equal((await edge.fetch("kept.localhost")).text, "kept");
});

test("another Worker reaches one of the processes", async () => {
  await edge.stageAndDeploy(makeVersion("callee", answering("called")));
  const caller = "export default { fetch: (request, env) => env.CALLEE.fetch(request) };";
  const bindings = [{ name: "CALLEE", type: "service", service: "callee" } as const];
  await edge.stageAndDeploy({ ...makeVersion("caller", caller), bindings });
  for (let i = 0; i < 6; i += 1) {
    assert.equal((await edge.fetch("caller.localhost")).text, "called");
  }
});

function processes(scriptName: string): readonly WorkerStatus[] {
  return edge.edge.status().workers.filter((worker) => worker.scriptName === scriptName);
}
