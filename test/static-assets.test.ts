import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { startPlatform, type TestPlatform } from "./helpers/platform.ts";
import { wranglerProject } from "./helpers/wrangler.ts";

const code = `export default {
  async fetch(request, env) {
    const { pathname } = new URL(request.url);
    if (pathname === "/through") return env.ASSETS.fetch("http://x/app.css");
    return new Response("worker " + pathname);
  },
};`;

describe("static assets, deployed by wrangler", () => {
  let platform: TestPlatform;
  before(async () => {
    platform = await startPlatform();
  });
  after(() => platform?.[Symbol.asyncDispose]());

  const project = (files: Record<string, string | object | Uint8Array>) =>
    wranglerProject(platform.ready, files);

  it("files come before the code, which has them as a binding", async () => {
    await using site = await project({
      "wrangler.json": {
        name: "site",
        main: "index.js",
        compatibility_date: "2026-11-01",
        assets: { directory: "public", binding: "ASSETS" },
      },
      "index.js": code,
      "public/index.html": "<h1>home</h1>",
      "public/app.css": "a { color: red }",
      "public/deep/er/ü b.txt": "deep",
      "public/large.bin": new Uint8Array(3_000_000).fill(7),
    });
    const deployed = await site.run(["deploy"]);
    assert.equal(deployed.exitCode, 0, deployed.output);
    assert.match(deployed.output, /Found 4 new or modified static assets/);
    const home = await platform.worker("site", "/");
    assert.equal(home.body, "<h1>home</h1>");
    assert.match(String(home.headers["content-type"]), /text\/html/);
    assert.equal((await platform.worker("site", "/deep/er/%C3%BC%20b.txt")).body, "deep");
    assert.equal((await platform.worker("site", "/large.bin")).body.length, 3_000_000);
    assert.equal((await platform.worker("site", "/through")).body, "a { color: red }");
    assert.equal((await platform.worker("site", "/else")).body, "worker /else");

    await site.write({ "public/app.css": "a { color: tan }" });
    const again = await site.run(["deploy"]);
    assert.match(again.output, /Found 1 new or modified static asset /, again.output);
    assert.equal((await platform.worker("site", "/app.css")).body, "a { color: tan }");
    const same = await site.run(["deploy"]);
    assert.match(same.output, /No updated asset files to upload/, same.output);
  });
});
