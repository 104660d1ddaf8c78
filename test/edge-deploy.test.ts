import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtemp, readdir, rm, stat } from "node:fs/promises";
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { build } from "esbuild";
import { pino } from "pino";
import type { Failure } from "../src/failures/failures.ts";
import { answering, startTestEdge, type TestEdge } from "./helpers/edge.ts";
import { loadDuring, slowUpload } from "./helpers/load.ts";
import { until } from "./helpers/until.ts";
import { makeVersion } from "./helpers/source.ts";

let edge: TestEdge;
before(async () => (edge = await startTestEdge()));
after(() => edge[Symbol.asyncDispose]());

test("a deployed Worker answers", async () => {
  await edge.deploy(makeVersion("hello", answering("hello")));
  const { status, text } = await edge.fetch("hello.localhost");
  assert.deepEqual([status, text], [200, "hello"]);
});

test("a Worker that throws at start is refused with its exception and line, and the old one keeps running", async () => {
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

test("a Worker that never finishes starting is given up after a time, with its own code", async () => {
  await using hasty = await startTestEdge({ startTimeout: 500 });
  const endless = makeVersion("endless", "for (;;);\nexport default {};");
  await assert.rejects(hasty.edge.stage(endless), { code: "worker_start_timeout" });
  assert.deepEqual(hasty.edge.status().workers, []);
});

test("an exception at start is shown where it stands in the source that was bundled", async () => {
  const { outputFiles } = await build({
    stdin: {
      contents:
        "// a comment\n\ninterface Gone { a: string }\nexport default {};\nthrow new Error('mapped');\n",
      sourcefile: "src/worker.ts",
      loader: "ts",
    },
    format: "esm",
    minify: true,
    sourcemap: "external",
    outfile: "dist/index.js",
    write: false,
  });
  const [map, code] = outputFiles;
  const version = makeVersion("mapped", { "index.js": code!.text, "index.js.map": map!.text });
  await assert.rejects(edge.edge.stage(version), (error: Failure) => {
    assert.match(error.message, /Error: mapped\n +at src\/worker\.ts:5:7/);
    return true;
  });
});

function slowEcho(text: string): string {
  return `export default { async fetch(request) {
    await scheduler.wait(20);
    return new Response("${text}" + await request.text());
  } };`;
}

test("a redeploy under load loses no request, and no upload that is under way", async () => {
  await edge.stageAndDeploy(makeVersion("busy", slowEcho("1")));
  const upload = slowUpload(edge, "busy.localhost");
  const result = await loadDuring(edge, "busy.localhost", ["/"], async () => {
    for (const text of ["2", "3", "4"]) {
      await edge.stageAndDeploy(makeVersion("busy", slowEcho(text)));
      assert.equal((await edge.fetch("busy.localhost")).text, text);
    }
  });
  assert.deepEqual(result, { failed: [] });
  assert.equal(await upload.finish(), "1first last");
});

test("a generation that was replaced is gone once it has drained: process, folder, sockets", async () => {
  await edge.stageAndDeploy(makeVersion("shed", answering("1")));
  const { pid } = edge.worker("shed");
  const folders = (await readdir(join(edge.runDirectory, "g"))).length;
  await edge.stageAndDeploy(makeVersion("shed", answering("2")));
  await until(
    () => edge.edge.status().workers.filter(({ scriptName }) => scriptName === "shed").length === 1,
  );
  assert.throws(() => process.kill(pid!, 0), { code: "ESRCH" });
  // Generations of earlier tests may still be draining.
  await until(async () => (await readdir(join(edge.runDirectory, "g"))).length <= folders);
});

test("waitUntil() tasks of a generation that was replaced have their time", async () => {
  const logged: string[] = [];
  const log = pino({ level: "info" }, { write: (line: string) => void logged.push(line) });
  const asked = Promise.withResolvers<ServerResponse>();
  await using slow = createServer((_, response) => asked.resolve(response));
  await once(slow.listen(0, "127.0.0.1"), "listening");
  const { port } = slow.address() as AddressInfo;
  await using patient = await startTestEdge({ log, waitUntil: 20_000, networkAllow: ["local"] });
  const source = `export default { fetch(request, env, ctx) {
    ctx.waitUntil(fetch("http://127.0.0.1:${port}/").then(() => console.log("task done")));
    return new Response("answered");
  } };`;
  await patient.deploy(makeVersion("tasks", source));
  await patient.fetch("tasks.localhost");
  const held = await asked.promise;
  await patient.deploy(makeVersion("tasks", answering("next")));
  assert.equal((await patient.fetch("tasks.localhost")).text, "next");
  assert.ok(!logged.some((line) => line.includes("task done")));
  held.end();
  await until(() => logged.some((line) => line.includes("task done")));
});

test("a script that is removed answers no more, and its host is free for another", async () => {
  await edge.deploy(makeVersion("first", answering("first")), { hosts: ["shared.example"] });
  await edge.edge.applied(edge.source.remove("first"));
  assert.equal((await edge.fetch("shared.example")).status, 404);
  await edge.deploy(makeVersion("second", answering("second")), { hosts: ["shared.example"] });
  assert.equal((await edge.fetch("shared.example")).text, "second");
});

test("a staged version has no traffic, and is gone once it is discarded", async () => {
  await edge.stageAndDeploy(makeVersion("stable", answering("stable")));
  const version = makeVersion("stable", answering("not yet"));
  await edge.edge.stage(version);
  assert.equal((await edge.fetch("stable.localhost")).text, "stable");
  const staged = edge.edge
    .status()
    .workers.find(({ versionId }) => versionId === version.versionId)!;
  assert.equal(staged.state, "running");
  await edge.edge.discard(version.versionId);
  assert.throws(() => process.kill(staged.pid!, 0), { code: "ESRCH" });
});

test("versions share the traffic by their percentages", async () => {
  const [a, b] = [makeVersion("split", answering("a")), makeVersion("split", answering("b"))];
  await edge.deploy([
    [a, 90],
    [b, 10],
  ]);
  const counts = { a: 0, b: 0 };
  for (let i = 0; i < 400; i++) counts[(await edge.fetch("split.localhost")).text as "a" | "b"]++;
  // 40 on average. Less than 11 or more than 79 happens once in ten million runs.
  assert.ok(counts.b > 10 && counts.b < 80, JSON.stringify(counts));
  await edge.deploy([[b, 100]]);
  for (let i = 0; i < 20; i++) assert.equal((await edge.fetch("split.localhost")).text, "b");
});

test("headers choose among the deployed versions: one by its id, or always the same for a key", async () => {
  const [a, b] = [makeVersion("chosen", answering("a")), makeVersion("chosen", answering("b"))];
  const other = makeVersion("chosen", answering("other"));
  await edge.deploy([
    [a, 100],
    [b, 0],
  ]);
  const ask = async (name: string, value: string): Promise<string> =>
    (await edge.fetch("chosen.localhost", "/", { headers: { [name]: value } })).text;
  const override = "Cloudflare-Workers-Version-Overrides";
  assert.equal(await ask(override, `chosen="${b.versionId}"`), "b");
  assert.equal(await ask(override, `chosen="${other.versionId}"`), "a", "one that is not deployed");
  assert.equal(await ask(override, `another="${b.versionId}"`), "a", "another Worker's");
  assert.equal(await ask(override, "no dictionary"), "a");
  await edge.deploy([
    [a, 50],
    [b, 50],
  ]);
  const keys = Array.from({ length: 24 }, (_, index) => `user-${index}`);
  const choices = () => Promise.all(keys.map((key) => ask("Cloudflare-Workers-Version-Key", key)));
  const first = await choices();
  assert.deepEqual(new Set(first), new Set(["a", "b"]));
  assert.deepEqual(await choices(), first);
});

test("the run directory may have a path longer than a socket's may be", async () => {
  const folder = await mkdtemp(join(tmpdir(), "countersign-edge-"));
  try {
    const runDirectory = join(folder, "a folder with a 'long' name ".repeat(4), "run");
    await using far = await startTestEdge({ runDirectory });
    const bindings = [{ type: "service", name: "SELF", service: "far" } as const];
    const source = `export default { fetch(request, env) {
      return request.url.endsWith("/self") ? new Response("self") : env.SELF.fetch("http://far/self");
    } };`;
    await far.deploy(makeVersion("far", source, bindings));
    assert.equal((await far.fetch("far.localhost")).text, "self");
    assert.equal((await stat(runDirectory)).mode & 0o777, 0o700);
  } finally {
    await rm(folder, { recursive: true });
  }
});
