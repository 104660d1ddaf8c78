import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { answering, startTestEdge, type TestEdge } from "./helpers/edge.ts";
import { makeVersion } from "./helpers/source.ts";
import { until } from "./helpers/until.ts";

const skip = existsSync("/proc/self/stat") ? false : "needs Linux";

let edge: TestEdge;
before(async () => {
  edge = await startTestEdge({ limits: { memory: 64, cpu: 1 } });
  await edge.deploy(makeVersion("steady", answering("steady")));
});
after(() => edge[Symbol.asyncDispose]());

test(
  "a Worker that computes without end is ended with 1102, and answers again",
  { skip },
  async () => {
    await edge.deploy(
      makeVersion(
        "loop",
        `export default { fetch({ url }) { while (url.endsWith("/loop")); return new Response("well"); } };`,
      ),
    );
    const { status, text } = await edge.fetch("loop.localhost", "/loop");
    assert.equal(status, 503);
    assert.match(text, /error 1102 \(worker_limits_exceeded\)/);
    await until(async () => (await edge.fetch("loop.localhost")).text === "well");
    const { restarts, lastExit } = edge.worker("loop");
    assert.ok(restarts >= 1);
    assert.match(lastExit!, /^it exceeded its CPU limit: it answered nothing for/);
  },
);

test(
  "a Worker that stands still, but computes nothing, is left alone while it answers",
  { skip },
  async () => {
    await edge.deploy(
      makeVersion(
        "slow",
        `export default { async fetch() { await scheduler.wait(2_500); return new Response("late"); } };`,
      ),
    );
    assert.equal((await edge.fetch("slow.localhost")).text, "late");
    assert.equal(edge.worker("slow").restarts, 0);
  },
);

test("limits.cpu_ms of a Worker counts for more than the platform's limit", { skip }, async () => {
  const version = makeVersion(
    "patient",
    `export default { fetch() { const end = Date.now() + 1; for (let i = 0; i < 2e9; i++); return new Response("done"); } };`,
  );
  await edge.deploy({ ...version, limits: { cpuMs: 60_000 } });
  assert.equal((await edge.fetch("patient.localhost")).text, "done");
  assert.equal(edge.worker("patient").restarts, 0);
});

for (const [kind, code] of [
  ["the heap", "held.push(Array.from({ length: 100_000 }, (_, i) => ({ i })))"],
  ["buffers", "held.push(new Uint8Array(8 << 20).fill(1))"],
  ["WebAssembly", "held.push(new WebAssembly.Memory({ initial: 128 }))"],
] as const) {
  test(
    `a Worker that fills ${kind} is kept within its limit, and harms no neighbour`,
    { skip },
    async () => {
      const name = kind.replaceAll(/\W/g, "").toLowerCase();
      await edge.deploy(
        makeVersion(
          name,
          `const held = []; export default { fetch({ url }) {
           if (!url.endsWith("/fill")) return new Response("well");
           for (let i = 0; i < 400; i++) { ${code}; }
           return new Response("held it all");
         } };`,
        ),
      );
      const { pid: first, memory: begun } = edge.worker(name);
      assert.equal(readFileSync(`/proc/${first}/oom_score_adj`, "latin1").trim(), "500");
      const answer = await edge.fetch(`${name}.localhost`, "/fill");
      assert.notEqual(answer.text, "held it all");
      const why = `${answer.status} ${answer.text} ${edge.worker(name).lastExit}`;
      assert.ok([500, 503].includes(answer.status), why);
      if (answer.status === 503) assert.match(answer.text, /error 1102/);
      await until(async () => (await edge.fetch(`${name}.localhost`)).text === "well");
      const { memory, restarts, lastExit } = edge.worker(name);
      if (restarts > 0)
        assert.match(lastExit!, /^it exceeded its (memory limit of 64 MiB|CPU limit)/);
      assert.ok((memory ?? 0) < begun! + 300 * 1024 * 1024, `${memory} after ${begun}`);
      assert.equal((await edge.fetch("steady.localhost")).text, "steady");
      assert.equal(edge.worker("steady").restarts, 0);
    },
  );
}
