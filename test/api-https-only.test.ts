import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { countersign } from "./helpers/cli.ts";
import { startPlatform, type TestPlatform } from "./helpers/platform.ts";
import { wranglerProject } from "./helpers/wrangler.ts";

describe("a platform that has HTTPS only", () => {
  let platform: TestPlatform;
  let env: Readonly<Record<string, string>>;

  before(async () => {
    platform = await startPlatform({ args: ["--dev", "--https-only", "--https-port", "0"] });
    const { stdout } = await countersign(["env", "--data", platform.dataFolder, "--json"]);
    env = JSON.parse(stdout) as typeof env;
  });
  after(() => platform[Symbol.asyncDispose]());

  const plain = (path: string, headers: Record<string, string> = {}) =>
    fetch(new URL(platform.ready.api).origin.replace("https:", "http:") + path, {
      headers,
      redirect: "manual",
    });

  it("wrangler deploys with what `countersign env` sets, and not without the CA", async () => {
    assert.match(env["CLOUDFLARE_API_BASE_URL"]!, /^https:\/\/127\.0\.0\.1:\d+\/client\/v4$/);
    await using project = await wranglerProject(platform.ready, {
      "index.js": "export default { fetch: () => new Response('deployed') };",
      "wrangler.json": { name: "only", main: "index.js", compatibility_date: "2026-01-01" },
    });
    const trusted = await project.run(["deploy"], { env });
    assert.equal(trusted.exitCode, 0, trusted.output);
    const { NODE_EXTRA_CA_CERTS: file, ...untrusting } = env;
    assert.match(file!, /local-ca\.pem$/);
    const run = await project.run(["deploy"], { env: untrusting });
    assert.notEqual(run.exitCode, 0, "the CA is what makes the difference");
    const redirected = await platform.worker("only");
    assert.equal(redirected.status, 301);
    const to = `https://only.localhost:${new URL(platform.ready.https!).port}/`;
    assert.equal(redirected.headers["location"], to);
  });

  it("`env` prints a token that works again, and leaves a CA file that is set", async () => {
    const argv = ["env", "--data", platform.dataFolder, "--json"];
    const given = { ...env, NODE_EXTRA_CA_CERTS: "/other.pem" };
    const { stdout, stderr } = await countersign(argv, { env: given });
    const again = JSON.parse(stdout) as typeof env;
    assert.equal(again["CLOUDFLARE_API_TOKEN"], env["CLOUDFLARE_API_TOKEN"]);
    assert.equal(again["NODE_EXTRA_CA_CERTS"], undefined);
    assert.match(stderr, /other\.pem.*local-ca\.pem/);
  });

  it("a call in plain HTTP is refused by name, and a sign-in page is redirected", async () => {
    const call = await plain("/client/v4/user", {
      authorization: `Bearer ${platform.ready.token}`,
    });
    assert.equal(call.status, 403);
    const { errors } = (await call.json()) as { errors: { meta: { failure: string } }[] };
    assert.equal(errors[0]!.meta.failure, "api_https_only");
    const page = await plain("/oauth2/auth?a=b");
    assert.equal(page.status, 308);
    const { origin } = new URL(platform.ready.api);
    assert.equal(page.headers.get("location"), `${origin}/oauth2/auth?a=b`);
    const withToken = await plain("/oauth2/auth", { authorization: "Bearer x" });
    assert.equal(withToken.status, 403, "a token is never sent on its way again");
    const elsewhere = await plain("//evil.example/oauth2/auth");
    assert.ok(elsewhere.headers.get("location")?.startsWith(`${origin}/`), "no open redirect");
  });
});

describe("HTTPS only is refused", () => {
  for (const [why, args, said] of [
    ["with plain HTTP", ["--unsafe-plain-api"], /exclude each other/],
    ["with a plain address", ["--public-url", "http://localhost"], /exclude each other/],
    ["where the local CA may not speak", ["--api-host", "0.0.0.0"], /cannot speak for 0\.0\.0\.0/],
  ] as const) {
    it(why, async () => {
      const data = mkdtempSync(join(tmpdir(), "countersign-api-"));
      const ports = ["--api-port", "0", "--http-port", "0"];
      const run = await countersign(["start", "--https-only", "--data", data, ...ports, ...args]);
      rmSync(data, { recursive: true, force: true });
      assert.notEqual(run.status, 0);
      assert.match(run.stderr, said);
    });
  }
});
