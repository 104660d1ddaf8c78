import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { startPlatform, type TestPlatform } from "../test/helpers/platform.ts";
import { wranglerProject, type WranglerProject } from "../test/helpers/wrangler.ts";

const worker = `export default {
  async fetch(request, env) {
    const { pathname, searchParams } = new URL(request.url);
    if (pathname === "/put") {
      await env.NOTES.put(searchParams.get("key"), searchParams.get("value"), { metadata: { by: "the Worker" } });
      return new Response("kept");
    }
    if (pathname === "/list") return Response.json(await env.NOTES.list());
    if (pathname === "/header") {
      // Nothing that a Worker sends can change which namespace it reaches.
      return Response.json([typeof env.NOTES.fetch, Object.keys(env)]);
    }
    return new Response(await env.NOTES.get(pathname.slice(1)));
  },
};`;

describe("KV, deployed and filled by an unmodified wrangler", () => {
  let platform: TestPlatform;
  let project: WranglerProject;
  before(async () => {
    platform = await startPlatform();
    const { api, token, accountId } = platform.ready;
    project = await wranglerProject({ api, token, accountId });
  });
  after(async () => {
    await project?.[Symbol.asyncDispose]();
    await platform?.[Symbol.asyncDispose]();
  });

  const wrangler = async (...args: string[]): Promise<string> => {
    const run = await project.run(args);
    assert.equal(run.exitCode, 0, run.output);
    return run.stdout;
  };
  const ids: string[] = [];

  it("a namespace is made, bound and reached by the Worker", async () => {
    for (const title of ["NOTES", "OTHER"]) {
      const said = await wrangler("kv", "namespace", "create", title);
      ids.push(
        /"?id"?: "([0-9a-f]{32})"|id = "([0-9a-f]{32})"/.exec(said)!.slice(1).find(Boolean)!,
      );
    }
    await project.write({
      "index.js": worker,
      "wrangler.json": {
        name: "notes",
        main: "index.js",
        compatibility_date: "2026-11-01",
        kv_namespaces: [{ binding: "NOTES", id: ids[0] }],
      },
    });
    await wrangler("deploy");
    assert.equal((await platform.worker("notes", "/put?key=a&value=1")).body, "kept");
    assert.equal((await platform.worker("notes", "/a")).body, "1");
    const { keys } = JSON.parse((await platform.worker("notes", "/list")).body) as {
      keys: unknown[];
    };
    assert.deepEqual(keys, [{ name: "a", metadata: { by: "the Worker" } }]);
  });

  it("wrangler reads what the Worker wrote, and writes what it reads", async () => {
    const at = ["--namespace-id", ids[0]!, "--remote"];
    assert.equal(await wrangler("kv", "key", "get", "a", "--text", ...at), "1\n");
    await wrangler("kv", "key", "put", "grüße/b", "2", "--metadata", '{"n":"ü"}', ...at);
    await project.write({
      "bulk.json": [
        { key: "c", value: "Mw==", base64: true },
        { key: "d", value: "4", expiration_ttl: 3600 },
      ],
    });
    await wrangler("kv", "bulk", "put", "bulk.json", ...at);
    assert.equal((await platform.worker("notes", "/c")).body, "3");
    const keys = JSON.parse(await wrangler("kv", "key", "list", ...at)) as {
      name: string;
      metadata?: unknown;
      expiration?: number;
    }[];
    assert.deepEqual(
      keys.map(({ name }) => name),
      ["a", "c", "d", "grüße/b"],
    );
    assert.deepEqual(keys[3]?.metadata, { n: "ü" });
    assert.ok(keys[2]!.expiration! > Date.now() / 1000);
    await wrangler("kv", "key", "delete", "a", ...at);
    const gone = await project.run(["kv", "key", "get", "a", "--text", ...at]);
    assert.match(gone.output, /Value not found|404/);
    assert.deepEqual(
      JSON.parse(await wrangler("kv", "key", "list", "--namespace-id", ids[1]!, "--remote")),
      [],
    );
  });

  it("what a Worker binds is not deleted, what nobody binds is", async () => {
    const refused = await platform.api(
      "DELETE",
      `/accounts/{account}/storage/kv/namespaces/${ids[0]}`,
    );
    assert.match(refused.json.errors[0]!.message, /is bound by "notes"/);
    await wrangler("kv", "namespace", "delete", "--namespace-id", ids[1]!, "-y");
    const { json } = await platform.api("GET", "/accounts/{account}/storage/kv/namespaces");
    assert.deepEqual(
      json.result.map(({ title }: { title: string }) => title),
      ["NOTES"],
    );
  });

  it("a binding to a namespace that is not there is refused before anything is live", async () => {
    await project.write({
      "index.js": worker,
      "wrangler.json": {
        name: "lost",
        main: "index.js",
        compatibility_date: "2026-11-01",
        kv_namespaces: [{ binding: "NOTES", id: "0".repeat(32) }],
      },
    });
    const run = await project.run(["deploy"]);
    assert.equal(run.exitCode, 1);
    assert.match(run.stderr, /names the KV namespace "0+", which was not found/);
  });
});
