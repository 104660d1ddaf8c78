import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Failure } from "../src/failures.ts";
import { answering, startTestEdge, type TestEdge } from "./helpers/edge.ts";
import { makeVersion } from "./helpers/source.ts";

let edge: TestEdge;
before(async () => (edge = await startTestEdge()));
after(() => edge[Symbol.asyncDispose]());

test("a deployed Worker answers", async () => {
  await edge.deploy(makeVersion("hello", answering("hello")));
  const { status, text } = await edge.fetch("hello.localhost");
  assert.deepEqual([status, text], [200, "hello"]);
});

test("a Worker that throws at start is refused with its exception and line, and the old one goes on", async () => {
  await edge.stageAndDeploy(makeVersion("careful", answering("old")));
  const broken = makeVersion("careful", "const a = 1;\nthrow new TypeError('boom at start');");
  await assert.rejects(edge.edge.stage(broken), (error: Failure) => {
    assert.equal(error.code, "worker_start_failed");
    assert.match(error.message, /TypeError: boom at start\n +at index.js:2:7/);
    assert.equal(error.facts["line"], 2);
    return true;
  });
  assert.equal((await edge.fetch("careful.localhost")).text, "old");
  await edge.deploy(broken);
  assert.equal((await edge.fetch("careful.localhost")).text, "old");
});
