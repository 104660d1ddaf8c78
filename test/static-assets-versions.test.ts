import assert from "node:assert/strict";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { deploys } from "./helpers/deploy.ts";
import { startPlatform, type TestPlatform } from "./helpers/platform.ts";
import { scriptForm } from "./helpers/script-form.ts";
import { wranglerProject, type WranglerProject } from "./helpers/wrangler.ts";

const CODE = `export default {
  async fetch(request, env) {
    const { pathname } = new URL(request.url);
    if (pathname === "/through") return env.ASSETS.fetch("http://x/page.txt");
    return new Response("worker " + pathname);
  },
};`;
const OVERRIDES = "cloudflare-workers-version-overrides";
const KEY = "cloudflare-workers-version-key";

describe("static assets and variables of versions", () => {
  let platform: TestPlatform;
  before(async () => {
    platform = await startPlatform();
  });
  after(() => platform?.[Symbol.asyncDispose]());

  const project = (name: string, more: object = {}): Promise<WranglerProject> =>
    wranglerProject(platform.ready, {
      "wrangler.json": {
        name,
        main: "index.js",
        compatibility_date: "2026-11-01",
        assets: { directory: "public", binding: "ASSETS" },
        ...more,
      },
      "index.js": CODE,
      "public/page.txt": "one",
      "public/first.txt": "only in the first",
      "public/_headers": "/*\n  X-Set: one\n",
    });
  const get = async (name: string, path: string, headers = {}): Promise<readonly string[]> => {
    const { body, headers: got } = await platform.worker(name, path, headers);
    return [body, String(got["x-set"])];
  };
  const upload = async (name: string, metadata: object, path = ""): Promise<any> => {
    const { json } = await platform.api(
      path === "" ? "PUT" : "POST",
      `/accounts/{account}/workers/scripts/${name}${path}`,
      scriptForm(
        { compatibility_date: "2026-11-01", ...metadata },
        { "index.js": ["application/javascript+module", CODE.replace("worker", "new worker")] },
      ),
    );
    return json;
  };

  const setVars = async (): Promise<void> => {
    const settings = new FormData();
    const bindings = [
      { type: "plain_text", name: "A", text: "elsewhere" },
      { type: "plain_text", name: "B", text: "elsewhere" },
      { type: "json", name: "J", json: [1] },
    ];
    settings.set("settings", JSON.stringify({ bindings, keep_bindings: ["secret_text"] }));
    const { json } = await platform.api(
      "PATCH",
      "/accounts/{account}/workers/scripts/vars/settings",
      settings,
    );
    assert.deepEqual(json.errors, []);
  };
  const vars = async (): Promise<unknown> => JSON.parse((await get("vars", "/"))[0]!);

  it("two versions that share the traffic answer with their own files, by themselves and through their binding", async () => {
    await using site = await project("split");
    const one = idIn(await run(site, "deploy"));
    await site.write({
      "public/page.txt": "two",
      "public/second.txt": "only in the second",
      "public/_headers": "/*\n  X-Set: two\n",
    });
    await rm(join(site.folder, "public/first.txt"));
    const two = idIn(await run(site, "versions", "upload"));
    assert.deepEqual(await get("split", "/page.txt"), ["one", "one"], "it is not deployed");
    await run(site, "versions", "deploy", `${one}@50`, `${two}@50`, "-y");
    const of = (id: string) => (path: string) =>
      get("split", path, { [OVERRIDES]: `split="${id}"` });
    const expected = {
      one: { "/page.txt": "one", "/through": "one", "/first.txt": "only in the first" },
      two: { "/page.txt": "two", "/through": "two", "/second.txt": "only in the second" },
    };
    for (const [id, set] of Object.entries({ [one]: "one", [two]: "two" } as const)) {
      for (const [path, text] of Object.entries(expected[set])) {
        assert.deepEqual(await of(id)(path), [text, set], `${set} ${path}`);
      }
    }
    assert.equal((await of(one)("/second.txt"))[0], "worker /second.txt");
    assert.equal((await of(two)("/first.txt"))[0], "worker /first.txt");
    // A page and its files come from one version, for clients that are always sent to the same version.
    const keys = Array.from({ length: 16 }, (_, index) => `user-${index}`);
    const seen = await Promise.all(
      keys.map(async (key) => {
        const headers = { [KEY]: key };
        const [page] = await get("split", "/page.txt", headers);
        const [through] = await get("split", "/through", headers);
        assert.equal(page, through, key);
        return page;
      }),
    );
    assert.deepEqual(new Set(seen), new Set(["one", "two"]));

    await run(site, "versions", "deploy", `${two}@100`, "-y");
    assert.deepEqual(await get("split", "/page.txt"), ["two", "two"]);
    await run(site, "rollback", one, "-m", "back", "-y");
    assert.deepEqual(await get("split", "/page.txt"), ["one", "one"]);
    assert.equal((await get("split", "/first.txt"))[0], "only in the first");
    assert.equal((await get("split", "/second.txt"))[0], "worker /second.txt");
  });

  it("keep_assets takes the files of the version before, with their rules or with new ones", async () => {
    await using site = await project("keeps");
    await deploys(site);
    const binding = { bindings: [{ type: "assets", name: "ASSETS" }] };
    assert.deepEqual((await upload("keeps", { ...binding, keep_assets: true })).errors, []);
    assert.deepEqual(await get("keeps", "/page.txt"), ["one", "one"]);
    assert.equal((await get("keeps", "/through"))[0], "one");
    assert.equal((await get("keeps", "/else"))[0], "new worker /else");

    const config = { _headers: "/*\n  X-Set: changed\n", run_worker_first: ["/first.txt"] };
    const changed = { ...binding, keep_assets: true, assets: { config } };
    assert.deepEqual((await upload("keeps", changed)).errors, []);
    assert.deepEqual(await get("keeps", "/page.txt"), ["one", "changed"]);
    assert.equal((await get("keeps", "/first.txt"))[0], "new worker /first.txt");

    const version = await upload("keeps", { ...binding, keep_assets: true }, "/versions");
    assert.deepEqual(version.errors, []);
    await run(site, "versions", "deploy", `${version.result.id}@100`, "-y");
    assert.deepEqual(await get("keeps", "/page.txt"), ["one", "changed"]);

    const unsent = await upload("keeps", { assets: { config: {} } });
    assert.equal(unsent.errors[0].meta.failure, "assets_missing");
    assert.deepEqual(await get("keeps", "/page.txt"), ["one", "changed"], "nothing was changed");
    assert.deepEqual((await upload("keeps", {})).errors, []);
    assert.equal((await get("keeps", "/page.txt"))[0], "new worker /page.txt", "they are gone");
    // After an upload without files there are none to keep.
    assert.deepEqual((await upload("keeps", { keep_assets: true })).errors, []);
    assert.equal((await get("keeps", "/page.txt"))[0], "new worker /page.txt");
  });

  it("what changes something else leaves the files: secrets, settings and code", async () => {
    await using site = await project("stays");
    await deploys(site);
    const there = async (): Promise<void> => {
      assert.deepEqual(await get("stays", "/page.txt"), ["one", "one"]);
      assert.equal((await get("stays", "/through"))[0], "one");
    };
    const path = "/accounts/{account}/workers/scripts/stays";
    const secret = { name: "S", text: "s", type: "secret_text" };
    assert.equal((await platform.api("PUT", `${path}/secrets`, secret)).status, 200);
    await there();
    const settings = new FormData();
    settings.set("settings", JSON.stringify({ compatibility_flags: ["nodejs_compat"] }));
    assert.equal((await platform.api("PATCH", `${path}/settings`, settings)).status, 200);
    await there();
    const put = await platform.api(
      "PUT",
      `${path}/content`,
      scriptForm(
        {},
        {
          "index.js": ["application/javascript+module", CODE.replace("worker", "other")],
        },
      ),
    );
    assert.equal(put.status, 200, JSON.stringify(put.json.errors));
    await there();
    assert.equal((await get("stays", "/else"))[0], "other /else");
  });

  it("an assets binding without files is refused, also if it is kept or inherited, and the old version keeps running", async () => {
    const bindings = [{ type: "assets", name: "ASSETS" }];
    await using site = await project("lone");
    await deploys(site);
    const inherit = [{ type: "inherit", name: "ASSETS" }];
    for (const metadata of [{ bindings }, { keep_bindings: ["assets"] }, { bindings: inherit }]) {
      const { errors } = await upload("lone", metadata);
      assert.equal(errors[0]?.meta.failure, "assets_missing");
      assert.equal(errors[0].meta.binding, "ASSETS");
      assert.equal((await get("lone", "/through"))[0], "one");
    }
    const kept = { keep_bindings: ["assets"], keep_assets: true };
    assert.deepEqual((await upload("lone", kept)).errors, []);
    assert.equal((await get("lone", "/through"))[0], "one");
  });

  it("--keep-vars keeps what was set elsewhere, unless the configuration names it; secrets stay without it", async () => {
    const code = `export default { fetch: (_, env) => Response.json({ A: env.A, B: env.B, S: env.S, J: env.J }) };`;
    await using made = await project("vars", { vars: { A: "file" }, assets: undefined });
    await made.write({ "index.js": code });
    await run(made, "deploy");
    const path = "/accounts/{account}/workers/scripts/vars";
    const secret = { name: "S", text: "s", type: "secret_text" };
    assert.equal((await platform.api("PUT", `${path}/secrets`, secret)).status, 200);
    await setVars();
    assert.deepEqual(await vars(), { A: "elsewhere", B: "elsewhere", S: "s", J: [1] });
    await run(made, "deploy", "--keep-vars");
    assert.deepEqual(await vars(), { A: "file", B: "elsewhere", S: "s", J: [1] });
    const version = idIn(await run(made, "versions", "upload", "--keep-vars"));
    await run(made, "versions", "deploy", `${version}@100`, "-y");
    assert.deepEqual(await vars(), { A: "file", B: "elsewhere", S: "s", J: [1] });
    await run(made, "deploy");
    assert.deepEqual(await vars(), { A: "file", S: "s" });
  });
});

async function run(made: WranglerProject, ...args: readonly string[]): Promise<string> {
  const { exitCode, output } = await made.run(args);
  assert.equal(exitCode, 0, output);
  return output;
}

/** The id of the version that wrangler says it has uploaded. */
function idIn(output: string): string {
  return /Version ID: (\S+)/.exec(output)![1]!;
}
