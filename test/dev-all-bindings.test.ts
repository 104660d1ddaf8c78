import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { createTestHarness } from "../src/dev/harness.ts";
import { mtls, mtlsOrigin } from "../src/dev/miniflare.ts";
import { makeProject, type TestProject } from "./helpers/dev-project.ts";

// One project with every kind of binding: a helper that works beside one kind may break beside another.

const configuration = {
  name: "all",
  main: "index.js",
  compatibility_date: "2025-11-17",
  vars: { GREETING: "hello" },
  assets: { directory: "public", binding: "ASSETS" },
  kv_namespaces: [{ binding: "KV", id: "kv" }],
  d1_databases: [{ binding: "DB", database_name: "db", database_id: "db" }],
  r2_buckets: [{ binding: "BUCKET", bucket_name: "bucket" }],
  durable_objects: { bindings: [{ name: "COUNTER", class_name: "Counter" }] },
  migrations: [{ tag: "v1", new_sqlite_classes: ["Counter"] }],
  queues: {
    producers: [{ binding: "QUEUE", queue: "jobs" }],
    consumers: [{ queue: "jobs", max_batch_timeout: 0 }],
  },
  triggers: { crons: ["0 0 * * *"] },
  ratelimits: [{ name: "LIMIT", namespace_id: "1", simple: { limit: 100, period: 60 } }],
  send_email: [{ name: "MAIL" }],
  services: [{ binding: "SELF", service: "all" }],
  version_metadata: { binding: "VERSION" },
  mtls_certificates: [
    { binding: "ONE", certificate_id: "one" },
    { binding: "TWO", certificate_id: "two" },
  ],
};

const worker = `
import { DurableObject } from "cloudflare:workers";
export class Counter extends DurableObject {
  async count() { return 1; }
}
export default {
  async fetch(request, env) {
    const url = new URL(request.url);
    if (url.pathname === "/self") return new Response("itself");
    await env.KV.put("k", "v");
    await env.BUCKET.put("k", "v");
    await env.QUEUE.send("job");
    const to = url.searchParams.get("to");
    const subject = async (binding) => (await (await binding.fetch(to)).json()).client.subject;
    return Response.json({
      vars: env.GREETING,
      secret: env.SECRET,
      kv: await env.KV.get("k"),
      d1: (await env.DB.prepare("select 1 as one").first()).one,
      r2: await (await env.BUCKET.get("k")).text(),
      object: await env.COUNTER.getByName("a").count(),
      limit: (await env.LIMIT.limit({ key: "k" })).success,
      mail: typeof env.MAIL.send,
      service: await (await env.SELF.fetch("http://self/self")).text(),
      version: typeof env.VERSION.id,
      assets: await (await env.ASSETS.fetch("http://assets/file.txt")).text(),
      one: await subject(env.ONE),
      two: await subject(env.TWO),
    });
  },
  async queue(batch) { console.log("the queue has " + batch.messages[0].body); },
  async scheduled() { console.log("the cron ran"); },
};`;

const expected = {
  vars: "hello",
  secret: "hush",
  kv: "v",
  d1: 1,
  r2: "v",
  object: 1,
  limit: true,
  mail: "function",
  service: "itself",
  version: "string",
  assets: "an asset",
};

async function project(): Promise<TestProject> {
  return makeProject({
    "wrangler.json": JSON.stringify(configuration),
    "index.js": worker,
    "public/file.txt": "an asset",
    ".dev.vars": "SECRET=hush",
  });
}

function check({ one, two, ...others }: Record<string, unknown>): void {
  assert.deepEqual(others, expected);
  assert.match(String(one), /CN=ONE/);
  assert.match(String(two), /CN=TWO/);
}

describe("beside every other kind of binding, two mTLS bindings work in", () => {
  test("countersign dev", async () => {
    await using all = await project();
    await using origin = await mtlsOrigin({ project: all.folder });
    await using dev = await all.dev("--test-scheduled");
    const response = await fetch(`${dev.url}/?to=${encodeURIComponent(origin.url)}`);
    const text = await response.text();
    assert.equal(response.status, 200, `${text}\n${dev.output}`);
    check(JSON.parse(text) as Record<string, unknown>);
    await dev.says(/the queue has job/);
    assert.equal((await fetch(`${dev.url}/__scheduled`)).status, 200);
    await dev.says(/the cron ran/);
  });

  test("wrangler's test harness", async () => {
    await using all = await project();
    await using origin = await mtlsOrigin({ project: all.folder });
    await using bindings = await mtls({}, { project: all.folder });
    const server = await createTestHarness(
      { root: all.folder, workers: [{ configPath: "wrangler.json" }] },
      bindings,
    );
    try {
      await server.listen();
      const response = await server.fetch(`/?to=${encodeURIComponent(origin.url)}`);
      const text = await response.text();
      assert.equal(response.status, 200, text);
      check(JSON.parse(text) as Record<string, unknown>);
    } finally {
      await server.close();
    }
  });
});
