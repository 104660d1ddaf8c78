import assert from "node:assert/strict";
import { request } from "node:http";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import type { Snapshot } from "../src/contract/change-feed.ts";
import { answering, hasCome, startTestEdge, untilCame, type TestEdge } from "./helpers/edge.ts";
import { makeVersion, TestSource } from "./helpers/source.ts";
import { until } from "./helpers/until.ts";
import { freePort } from "./helpers/free-port.ts";

test("while the platform starts, a deployed Worker's host waits or answers 503, never 404", async () => {
  class SlowSource extends TestSource {
    override async snapshot(): Promise<Snapshot> {
      await delay(400);
      return super.snapshot();
    }
  }
  const source = new SlowSource();
  source.deploy(makeVersion("early", answering("early")));
  const port = await freePort();
  const starting = startTestEdge({ source, httpPort: port });
  const seen: Answer[] = [];
  while (seen.at(-1)?.status !== 200) seen.push(await ask(port, "early.localhost"));
  await using edge = await starting;
  const statuses = new Set(seen.map(({ status }) => status));
  assert.deepEqual([...statuses.difference(new Set([0, 200, 503]))], []);
  assert.ok(statuses.has(503));
  for (const { status, retryAfter } of seen) if (status === 503) assert.equal(retryAfter, "1");
  assert.equal((await edge.fetch("nobody.localhost")).status, 404);
});

test("a Worker for which the machine has no process is 503, its deploy a failure with a code, and the others go on", async () => {
  await using edge = await startTestEdge({ workerdPath: "/there/is/no/such/workerd" });
  const version = makeVersion("roomless", answering("roomless"));
  await assert.rejects(edge.edge.stage(version), { code: "process_not_started" });
  await edge.deploy(version);
  const { status, headers } = await edge.fetch("roomless.localhost");
  assert.deepEqual([status, headers["retry-after"]], [503, "1"]);
  assert.equal(edge.edge.status().ingress.restarts, 0);
});

test("generations that were left without a request end at once, others only so many at a time", async () => {
  await using edge = await startTestEdge({ waitUntil: 120_000 });
  for (let i = 0; i < 4; i++) await edge.deploy(makeVersion("quick", answering(`quick ${i}`)));
  await until(() => running(edge, "quick") === 1);
  for (let i = 0; i < 9; i++) {
    await edge.deploy(makeVersion("busy", answering(`busy ${i}`)));
    assert.equal((await edge.fetch("busy.localhost")).text, `busy ${i}`);
  }
  // The live generation, and four that wait for their `waitUntil()` tasks.
  await until(() => running(edge, "busy") <= 5);
});

test("a generation ends early only when nothing is in flight any more", async () => {
  await using edge = await startTestEdge({ waitUntil: 120_000, drain: 60_000 });
  const slow = untilCame(`await scheduler.wait(3000); return new Response("slow");`);
  await edge.deploy(makeVersion("held", slow));
  const answer = edge.fetch("held.localhost");
  await until(() => hasCome(edge, "held"));
  for (let i = 0; i < 6; i++) {
    await edge.deploy(makeVersion("held", answering(`held ${i}`)));
    await edge.fetch("held.localhost");
  }
  assert.deepEqual([(await answer).status, (await answer).text], [200, "slow"]);
});

function running(edge: TestEdge, script: string): number {
  return edge.edge.status().workers.filter(({ scriptName }) => scriptName === script).length;
}

interface Answer {
  /** 0: nothing listens yet. */
  readonly status: number;
  readonly retryAfter: string | undefined;
}

function ask(port: number, host: string): Promise<Answer> {
  return new Promise((resolve) => {
    request({ port, host: "127.0.0.1", headers: { host }, agent: false }, (response) => {
      response.resume();
      resolve({ status: response.statusCode!, retryAfter: response.headers["retry-after"] });
    })
      .on("error", () => setTimeout(resolve, 10, { status: 0, retryAfter: undefined }))
      .end();
  });
}
