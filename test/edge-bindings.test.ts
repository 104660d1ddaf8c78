import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { promisify } from "node:util";
import { jsonValue, sample, string } from "fast-check";
import type { Failure } from "../src/failures/failures.ts";
import { startTestEdge, type TestEdge } from "./helpers/edge.ts";
import { makeVersion, secretBinding } from "./helpers/source.ts";

let edge: TestEdge;
before(async () => (edge = await startTestEdge()));
after(() => edge[Symbol.asyncDispose]());

const showEnv = "export default { fetch: (request, env) => Response.json(env) };";

test("a Worker imports ES modules, CommonJS, text, data, JSON and Wasm", async () => {
  // (module (func (export "answer") (result i32) i32.const 42))
  const answer = Buffer.from(
    "0061736d010000000105016000017f03020100070a0106616e7377657200000a06010400412a0b",
    "hex",
  );
  await edge.deploy(
    makeVersion("modules", {
      "index.js": `
        import { esm } from "./lib/esm.js";
        import cjs from "./old.cjs";
        import text from "./some.txt";
        import data from "./raw.bin";
        import json from "./some.json";
        import wasm from "./answer.wasm";
        export default { fetch: () => Response.json({
          esm, cjs: cjs.value, text, data: [...new Uint8Array(data)], json,
          wasm: new WebAssembly.Instance(wasm).exports.answer(),
        }) };`,
      "lib/esm.js": "export const esm = 'esm';",
      "old.cjs": "module.exports = { value: 'cjs' };",
      "some.txt": "tëxt",
      "raw.bin": new Uint8Array([0, 255, 128]),
      "some.json": '{"deep":[1]}',
      "answer.wasm": answer,
    }),
  );
  const { text } = await edge.fetch("modules.localhost");
  assert.deepEqual(JSON.parse(text), {
    esm: "esm",
    cjs: "cjs",
    text: "tëxt",
    data: [0, 255, 128],
    json: { deep: [1] },
    wasm: 42,
  });
});

test("any text and any JSON reaches the Worker as it was bound", async () => {
  const texts = sample(string({ unit: "binary", maxLength: 40 }), 200);
  const values = sample(jsonValue(), 100);
  const hostile = ['")) ; #', "\\", "\n\r\t", "\u0000", "🎉 ünï", 'embed "/etc/passwd"', ""];
  const bindings = [
    ...[...hostile, ...texts].map(
      (text, i) => ({ type: "plain_text", name: `T${i}`, text }) as const,
    ),
    ...values.map((json, i) => ({ type: "json", name: `J${i}`, json }) as const),
  ];
  await edge.deploy(makeVersion("strings", showEnv, bindings));
  const env = JSON.parse((await edge.fetch("strings.localhost")).text) as Record<string, unknown>;
  for (const binding of bindings) {
    const bound = binding.type === "json" ? binding.json : binding.text;
    assert.deepEqual(env[binding.name], JSON.parse(JSON.stringify(bound)));
  }
});

test("the Cache API works and keeps nothing, as at workers.dev", async () => {
  await edge.deploy(
    makeVersion(
      "cached",
      `export default { async fetch() {
        const key = "https://example.com/kept";
        const found = [];
        for (const cache of [caches.default, await caches.open("named")]) {
          await cache.put(key, new Response("x".repeat(1_000_000), { headers: { "cache-control": "max-age=60" } }));
          found.push((await cache.match(key)) ?? null, await cache.delete(key));
        }
        return Response.json(found);
      } };`,
    ),
  );
  const { status, text } = await edge.fetch("cached.localhost");
  assert.equal(status, 200, text);
  assert.deepEqual(JSON.parse(text), [null, false, null, false]);
});

test("a Worker knows its version", async () => {
  const version = makeVersion("versioned", showEnv, [
    {
      type: "version_metadata",
      name: "V",
      id: "the-id",
      tag: "v1",
      timestamp: "2026-11-23T00:00:00Z",
    },
  ]);
  await edge.deploy(version);
  const env = JSON.parse((await edge.fetch("versioned.localhost")).text) as unknown;
  assert.deepEqual(env, { V: { id: "the-id", tag: "v1", timestamp: "2026-11-23T00:00:00Z" } });
});

test("a secret reaches the Worker, and no file, command line or other Worker", async () => {
  process.env["NOT_FOR_WORKERS"] = "leaked";
  const secret = `very "secret" é\n ${Math.random()}`;
  await edge.deploy(makeVersion("keeper", showEnv, [secretBinding("SECRET", secret)]));
  const env = JSON.parse((await edge.fetch("keeper.localhost")).text) as unknown;
  assert.deepEqual(env, { SECRET: secret });
  const { pid } = edge.edge.status().workers.find(({ scriptName }) => scriptName === "keeper")!;
  const needle = secret.slice(0, 13);
  const { stdout } = await promisify(execFile)("ps", ["-ww", "-p", String(pid), "-o", "args="]);
  assert.match(stdout, /workerd/);
  assert.ok(!stdout.includes(needle));
  const files = await filesIn(edge.runDirectory);
  assert.ok(files.length > 3);
  for (const file of files) assert.ok(!(await readFile(file)).includes(needle), file);
  if (process.platform === "linux") {
    const environment = await readFile(`/proc/${pid}/environ`, "utf8");
    assert.ok(environment.includes(needle), "that is where it has to be");
    assert.ok(!environment.includes("NOT_FOR_WORKERS"));
  }
});

test("a secret that no environment can hold is refused, without quoting it", async () => {
  const version = makeVersion("nul", showEnv, [secretBinding("SECRET", "hidden\0part")]);
  await assert.rejects(edge.edge.stage(version), (error: Failure) => {
    assert.equal(error.code, "worker_start_failed");
    assert.match(error.message, /"SECRET"/);
    assert.ok(!error.message.includes("hidden"));
    return true;
  });
});

test("fetch() without a binding reaches no address of this machine, unless the policy says so", async () => {
  const outbound = `export default { async fetch(request) {
    try { return await fetch(new URL(request.url).searchParams.get("to")); }
    catch (error) { return new Response(String(error), { status: 500 }); }
  } };`;
  await edge.deploy(makeVersion("curious", outbound));
  const to = `/?to=${encodeURIComponent(edge.edge.httpUrl)}`;
  assert.equal((await edge.fetch("curious.localhost", to)).status, 500);
  await using open = await startTestEdge({
    source: edge.source,
    networkAllow: ["public", "local"],
  });
  const reached = await open.fetch("curious.localhost", to);
  assert.equal(reached.status, 404, reached.text);
});

async function filesIn(folder: string): Promise<readonly string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries.filter((one) => one.isFile()).map((one) => join(one.parentPath, one.name));
}
