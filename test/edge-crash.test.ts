import assert from "node:assert/strict";
import { fork } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readdir, readlink, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { answering, hasCome, startTestEdge, untilCame, type TestEdge } from "./helpers/edge.ts";
import { makeVersion } from "./helpers/source.ts";
import { until } from "./helpers/until.ts";

let edge: TestEdge;
before(async () => {
  edge = await startTestEdge();
  await edge.deploy(makeVersion("steady", answering("steady")));
});
after(() => edge[Symbol.asyncDispose]());

test("a Worker whose process is killed comes back, and requests wait for it", async () => {
  assert.equal((await edge.fetch("steady.localhost")).status, 200);
  const { pid } = edge.worker("steady");
  process.kill(pid!, "SIGKILL");
  await until(() => edge.worker("steady").pid !== pid);
  const { status, text } = await edge.fetch("steady.localhost");
  assert.deepEqual([status, text], [200, "steady"]);
  assert.equal(edge.worker("steady").restarts, 1);
  assert.equal(edge.worker("steady").lastExit, "killed by SIGKILL");
});

test("a request that a Worker's process took to its end gets a reason, and is not sent again", async () => {
  await edge.deploy(makeVersion("stuck", untilCame("await scheduler.wait(60_000);")));
  const answer = edge.fetch("stuck.localhost", "/", { method: "POST", body: "once" });
  await until(() => hasCome(edge, "stuck"));
  process.kill(edge.worker("stuck").pid!, "SIGKILL");
  const { status, text } = await answer;
  assert.equal(status, 502);
  assert.match(text, /worker_connection_lost/);
});

test("a broken Worker that is deployed holds up no other, says why, and answers 503", async () => {
  const source = edge.source;
  source.deploy(makeVersion("broken", "throw new Error('not today');"));
  await using second = await startTestEdge({ source });
  assert.equal((await second.fetch("steady.localhost")).text, "steady");
  const { status, headers } = await second.fetch("broken.localhost");
  assert.deepEqual([status, headers["retry-after"]], [503, "1"]);
  const broken = second.edge.status().workers.find(({ scriptName }) => scriptName === "broken")!;
  assert.equal(broken.state, "restarting");
  assert.match(broken.lastExit!, /not today/);
  await second.edge.applied(source.deploy(makeVersion("broken", answering("repaired"))));
  assert.equal((await second.fetch("broken.localhost")).text, "repaired");
});

test("an ingress that is killed comes back on its port and knows every Worker", async () => {
  const { pid } = edge.edge.status().ingress;
  process.kill(pid!, "SIGKILL");
  await until(
    () =>
      edge.edge.status().ingress.restarts === 1 && edge.edge.status().ingress.state === "running",
  );
  assert.equal((await edge.fetch("steady.localhost")).text, "steady");
});

test("a deploy while the ingress is down is in force once it is back", async () => {
  process.kill(edge.edge.status().ingress.pid!, "SIGKILL");
  await edge.deploy(makeVersion("meanwhile", answering("meanwhile")));
  assert.equal((await edge.fetch("meanwhile.localhost")).text, "meanwhile");
});

test("a gateway, an ingress and a Worker that stand still are replaced, and no deploy hangs on them", async () => {
  const { gateway, ingress } = edge.edge.status();
  const { pid } = edge.worker("steady");
  for (const stopped of [gateway.pid!, ingress.pid!, pid!]) process.kill(stopped, "SIGSTOP");
  await edge.deploy(makeVersion("still", answering("still")));
  assert.equal((await edge.fetch("still.localhost")).text, "still");
  await until(() => edge.edge.status().gateway.state === "running");
  for (const now of [edge.edge.status().gateway, edge.edge.status().ingress]) {
    assert.match(now.lastExit!, /it did not answer for 6 s/);
  }
  await until(() => edge.worker("steady").state === "running" && edge.worker("steady").pid !== pid);
  assert.match(edge.worker("steady").lastExit!, /it stood still for 5 s/);
  assert.equal((await edge.fetch("steady.localhost")).text, "steady");
});

test(
  "a supervisor that is killed leaves nothing running, and the next one finds its way",
  {
    skip: process.platform !== "linux" && "the kernel's help is Linux's",
  },
  async () => {
    const runDirectory = await mkdtemp(join(tmpdir(), "countersign-edge-"));
    try {
      const supervisor = fork(join(import.meta.dirname, "helpers/supervisor.ts"), [runDirectory]);
      const [status] = (await once(supervisor, "message")) as [{ pids: number[] }];
      assert.equal(status.pids.length, 3);
      supervisor.kill("SIGKILL");
      await until(async () => (await processesIn(runDirectory)).length === 0);
      await using next = await startTestEdge({ runDirectory });
      await next.deploy(makeVersion("again", answering("again")));
      assert.equal((await next.fetch("again.localhost")).text, "again");
    } finally {
      await rm(runDirectory, { recursive: true, force: true });
    }
  },
);

/** Every process of the edge works in its run directory. */
async function processesIn(folder: string): Promise<readonly string[]> {
  const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name));
  const folders = await Promise.all(
    pids.map((pid) => readlink(`/proc/${pid}/cwd`).catch(() => null)),
  );
  return pids.filter((_, index) => folders[index]?.startsWith(folder));
}
