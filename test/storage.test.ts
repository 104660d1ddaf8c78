import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { ask } from "../src/edge/storage/ask.ts";
import { startPlatform, type TestPlatform } from "./helpers/platform.ts";
import { scriptForm } from "./helpers/script-form.ts";
import { until } from "./helpers/until.ts";

/** Answers with what a statement in `?run=` makes of its bindings. */
const runs = (cases: Readonly<Record<string, string>>): string => `export default {
  async fetch(request, env) {
    const run = { ${Object.entries(cases)
      .map(([name, code]) => `${name}: async () => ${code}`)
      .join(", ")} };
    try {
      return Response.json(await run[new URL(request.url).pathname.slice(1)]());
    } catch (error) {
      return Response.json({ error: String(error) });
    }
  },
};`;

const bindings = (namespace: string, name: string): object => ({
  bindings: [
    { type: "kv_namespace", name: "KV", namespace_id: namespace },
    { type: "ratelimit", name: "LIMIT", namespace_id: "1", simple: { limit: 2, period: 60 } },
    { type: "analytics_engine", name: "POINTS", dataset: "points" },
    { type: "plain_text", name: "NAME", text: name },
  ],
});

describe("what Workers keep", () => {
  let platform: TestPlatform;
  before(async () => {
    platform = await startPlatform();
  });
  after(() => platform?.[Symbol.asyncDispose]());

  const api = async (method: string, path: string, body?: unknown): Promise<any> => {
    const { json } = await platform.api(method, `/accounts/{account}${path}`, body);
    assert.ok(json.success, JSON.stringify(json.errors));
    return json.result;
  };
  const deploy = (name: string, code: string, metadata: object): Promise<any> =>
    api(
      "PUT",
      `/workers/scripts/${name}`,
      scriptForm(
        { compatibility_date: "2026-11-01", ...metadata },
        { "index.js": ["application/javascript+module", code] },
      ),
    );
  const ask1 = async (name: string, path: string): Promise<any> =>
    JSON.parse((await platform.worker(name, `/${path}`)).body);

  it("KV, R2, rate limits and datasets of one Worker are another's only where it binds them", async () => {
    const one = await api("POST", "/storage/kv/namespaces", { title: "one" });
    const two = await api("POST", "/storage/kv/namespaces", { title: "two" });
    const code = runs({
      write: `{ await env.KV.put("key", env.NAME); await env.KV.put("large", new Uint8Array(100_000)); return null; }`,
      read: `[await env.KV.get("key"), (await env.KV.get("large", "arrayBuffer"))?.byteLength ?? null]`,
      limit: `Promise.all([1, 2, 3].map(() => env.LIMIT.limit({ key: "a" })))`,
      point: `{ env.POINTS.writeDataPoint({ indexes: ["i"], blobs: ["b"], doubles: [1.5] }); return null; }`,
    });
    await deploy("first", code, bindings(one.id, "first"));
    await deploy("second", code, bindings(two.id, "second"));
    await deploy("third", code, bindings(one.id, "third"));
    assert.equal(await ask1("first", "write"), null, platform.log());
    assert.deepEqual(await ask1("second", "read"), [null, null]);
    assert.deepEqual(await ask1("third", "read"), ["first", 100_000]);
    const passed = [...(await ask1("first", "limit")), ...(await ask1("second", "limit"))];
    assert.equal(passed.filter(({ success }) => success).length, 2);
    assert.equal(await ask1("first", "point"), null);
  });

  it("a program in a Worker's place opens no resource that its Worker does not bind", async () => {
    const { id } = await api("POST", "/storage/kv/namespaces", { title: "closed" });
    await api("PUT", `/storage/kv/namespaces/${id}/bulk`, [{ key: "secret", value: "1" }]);
    const folder = join(platform.dataFolder, "run/s/1");
    assert.ok(readdirSync(folder).includes("kv"));
    const forged = [undefined, id, `kv:${id}`, `kv:${id}.${"0".repeat(64)}`, `d1:${id}.x`, "kv:."];
    for (const capability of forged) {
      const headers = capability === undefined ? {} : { "cs-resource": capability };
      const answer = await ask({ folder, socket: "kv", path: "/secret", headers });
      assert.equal(answer.status, 403, capability);
    }
  });

  it("what was acknowledged is there after the storage was killed, and after the platform was", async () => {
    const { id } = await api("POST", "/storage/kv/namespaces", { title: "kept" });
    await api("PUT", `/storage/kv/namespaces/${id}/bulk`, [{ key: "a", value: "1" }]);
    await deploy("keeper", runs({ read: `env.KV.get("a")` }), {
      bindings: [{ type: "kv_namespace", name: "KV", namespace_id: id }],
    });
    assert.equal(await ask1("keeper", "read"), "1");
    for (const pid of readdirSync(join(platform.dataFolder, "run/pids"))) {
      process.kill(Number(pid), "SIGKILL");
    }
    await until(async () => (await ask1("keeper", "read").catch(() => null)) === "1");
    const { dataFolder, ready } = platform;
    await platform.end("SIGKILL");
    platform = await startPlatform({ dataFolder, token: ready.token });
    assert.equal(await ask1("keeper", "read"), "1");
  });
});
