import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { masterKeyVariables } from "../src/keys/master-key.ts";
import { backUp, restore } from "../src/platform/backup/backup.ts";
import { deploys } from "./helpers/deploy.ts";
import { startPlatform, type TestPlatform } from "./helpers/platform.ts";
import { wranglerProject, type WranglerProject } from "./helpers/wrangler.ts";

const code = `export default {
  async fetch(request, env) {
    return new Response("worker " + new URL(request.url).pathname);
  },
};`;
const date = "2026-11-01";

describe("how static assets are found", () => {
  let platform: TestPlatform;
  before(async () => {
    platform = await startPlatform();
  });
  after(() => platform?.[Symbol.asyncDispose]());

  const deploy = async (
    name: string,
    assets: object,
    files: Record<string, string>,
    more: object = {},
  ): Promise<WranglerProject> => {
    const config = { name, compatibility_date: date, assets: { directory: "public", ...assets } };
    const project = await wranglerProject(platform.ready, {
      "wrangler.json": { ...config, ...more },
      "index.js": code,
      ...files,
    });
    await deploys(project);
    return project;
  };
  const main = { main: "index.js" };
  const get = (name: string, path: string) => platform.worker(name, path);

  it("a Worker without code has files alone, with its own page where there is none", async () => {
    await using _ = await deploy(
      "files",
      { not_found_handling: "404-page" },
      {
        "public/index.html": "home",
        "public/404.html": "not here",
        "public/_headers": "/*\n  X-Kept: yes\n",
        "public/_redirects": "/old /new 301\n",
      },
    );
    const home = await get("files", "/");
    assert.deepEqual([home.status, home.body, home.headers["x-kept"]], [200, "home", "yes"]);
    const none = await get("files", "/else");
    assert.deepEqual([none.status, none.body], [404, "not here"]);
    const old = await get("files", "/old");
    assert.deepEqual([old.status, old.headers["location"]], [301, "/new"]);
    assert.equal((await get("files", "/_headers")).status, 404);
  });

  it("a single page application is answered with its page everywhere", async () => {
    const files = { "public/index.html": "app" };
    await using _ = await deploy("app", { not_found_handling: "single-page-application" }, files);
    const page = await get("app", "/some/where");
    assert.deepEqual([page.status, page.body], [200, "app"]);
  });

  it("run_worker_first is true, or patterns", async () => {
    const files = { "public/a.txt": "a", "public/api/b.txt": "b" };
    await using _ = await deploy("first", { run_worker_first: true }, files, main);
    assert.equal((await get("first", "/a.txt")).body, "worker /a.txt");
    await using __ = await deploy("some", { run_worker_first: ["/api/*"] }, files, main);
    assert.equal((await get("some", "/a.txt")).body, "a");
    assert.equal((await get("some", "/api/b.txt")).body, "worker /api/b.txt");
  });

  it("a rollback, a secret and a backup keep the files that a version has", async () => {
    await using project = await deploy("kept", {}, { "public/a.txt": "one" }, main);
    const first = (await get("kept", "/a.txt")).headers["etag"];
    await project.write({ "public/a.txt": "two" });
    await deploys(project);
    const changed = await get("kept", "/a.txt");
    assert.equal(changed.body, "two");
    assert.notEqual(changed.headers["etag"], first);
    assert.equal((await project.run(["rollback", "-y", "-m", "back"])).exitCode, 0);
    assert.equal((await get("kept", "/a.txt")).body, "one");
    assert.equal((await get("kept", "/a.txt")).headers["etag"], first);
    await deploys(project);
    const secret = await project.run(["secret", "put", "S"], { stdin: "s" });
    assert.equal(secret.exitCode, 0, secret.output);
    assert.equal((await get("kept", "/a.txt")).body, "two");

    const folder = mkdtempSync(join(tmpdir(), "countersign-assets-"));
    try {
      const file = join(folder, "backup.db");
      backUp({ dataFolder: platform.dataFolder, file, force: false });
      const dataFolder = join(folder, "restored");
      const variables = {
        ...masterKeyVariables({}),
        file: join(platform.dataFolder, "master.key"),
      };
      await restore({ dataFolder, file, force: false, variables, now: new Date() });
      const env = { COUNTERSIGN_MASTER_KEY_FILE: variables.file };
      const { token } = platform.ready;
      await using again = await startPlatform({ dataFolder, env, token });
      assert.equal((await again.worker("kept", "/a.txt")).body, "two");
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
