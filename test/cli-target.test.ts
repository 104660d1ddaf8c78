import assert from "node:assert/strict";
import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { countersign } from "./helpers/cli.ts";
import { makeProject } from "./helpers/dev-project.ts";
import { makeAuthority } from "./helpers/pki.ts";
import { startPlatform, type TestPlatform } from "./helpers/platform.ts";

describe("which platform a command acts on", () => {
  let one: TestPlatform;
  let other: TestPlatform;
  let home: string;
  before(async () => {
    home = mkdtempSync(join(tmpdir(), "countersign-home-"));
    [one, other] = await Promise.all([startPlatform(), startPlatform()]);
  });
  after(async () => {
    await Promise.all([one[Symbol.asyncDispose](), other[Symbol.asyncDispose]()]);
    rmSync(home, { recursive: true, force: true });
  });

  const run = (argv: readonly string[], env: Readonly<Record<string, string>> = {}) =>
    countersign(argv, { env: { XDG_CONFIG_HOME: home, XDG_DATA_HOME: home, ...env } });

  const whoami = async (argv: readonly string[], env: Readonly<Record<string, string>>) => {
    const { stdout } = await run(["whoami", "--json", ...argv], env);
    const { api, from } = JSON.parse(stdout) as { api: string; from: string };
    return [api, from];
  };

  test("--data wins over the three variables, these over COUNTERSIGN_DATA", async () => {
    const env = { ...variables(other), COUNTERSIGN_DATA: one.dataFolder };
    assert.deepEqual(await whoami(["--data", one.dataFolder], env), [one.ready.api, "--data"]);
    assert.deepEqual(await whoami([], env), [other.ready.api, "CLOUDFLARE_API_BASE_URL"]);
    const folder = { COUNTERSIGN_DATA: one.dataFolder };
    assert.deepEqual(await whoami([], folder), [one.ready.api, "COUNTERSIGN_DATA"]);
  });

  test("an address without a token is refused, not passed over for the data folder", async () => {
    const env = { CLOUDFLARE_API_BASE_URL: other.ready.api, COUNTERSIGN_DATA: one.dataFolder };
    const { stdout } = await run(["certificate", "list", "--json"], env);
    assert.equal(JSON.parse(stdout).error.code, "token_missing");
  });

  test("with --data the socket is used, though the public URL leads nowhere", async () => {
    await using hidden = await startPlatform({ args: ["--public-url", "https://192.0.2.1"] });
    const argv = ["certificate", "list", "--data", hidden.dataFolder, "--json"];
    const { status, stdout } = await run(argv);
    assert.equal(status, 0, stdout);
    assert.deepEqual(JSON.parse(stdout), []);
  });

  test("a certificate that is not trusted, and a server that is none of ours, are said", async () => {
    const authority = await makeAuthority();
    const { chain, key } = await authority.issue({ subject: "CN=localhost", dns: ["localhost"] });
    const server = createServer({ cert: chain, key }, (_, response) => response.end("hello"));
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    try {
      const url = `https://localhost:${(server.address() as AddressInfo).port}/client/v4`;
      const env = { ...variables(one), CLOUDFLARE_API_BASE_URL: url };
      const { stdout } = await run(["certificate", "list", "--json"], env);
      assert.equal(JSON.parse(stdout).error.code, "platform_untrusted");
    } finally {
      server.close();
    }
    const origin = new URL(one.ready.http).origin;
    const env = { ...variables(one), CLOUDFLARE_API_BASE_URL: origin, CLOUDFLARE_ACCOUNT_ID: "x" };
    const { stdout } = await run(["certificate", "list", "--json"], env);
    assert.equal(JSON.parse(stdout).error.code, "platform_unlike");
  });

  test("status says what answers and what runs", async () => {
    const { status, stdout } = await run(["status", "--data", one.dataFolder, "--json"]);
    assert.equal(status, 0);
    const shown = JSON.parse(stdout);
    assert.equal(shown.api, one.ready.api);
    assert.equal(shown.processes[0].state, "running");
    assert.equal((await run(["status", "--data", join(home, "none")])).status, 3);
  });

  test("deploy says and takes the platform that the variables name, and touches no other", async () => {
    await using project = await makeProject({
      "wrangler.json": `{ "name": "aimed", "main": "index.js", "compatibility_date": "2026-11-01" }`,
      "index.js": `export default { fetch: () => new Response("ok") };`,
    });
    const env = {
      XDG_CONFIG_HOME: home,
      XDG_DATA_HOME: home,
      ...variables(other),
      CLOUDFLARE_ACCOUNT_ID: other.ready.accountId,
      COUNTERSIGN_DATA: one.dataFolder,
    };
    const { status, stderr } = await countersign(["deploy"], { cwd: project.folder, env });
    assert.equal(status, 0, stderr);
    assert.ok(
      stderr.includes(`deploying to ${other.ready.api} (from CLOUDFLARE_API_BASE_URL)`),
      stderr,
    );
    const path = "/accounts/{account}/workers/scripts";
    const names = async (platform: TestPlatform): Promise<string[]> =>
      (await platform.api("GET", path)).json.result.map(({ id }: { id: string }) => id);
    assert.deepEqual([await names(one), await names(other)], [[], ["aimed"]]);

    // In another account, whose Worker of the same name answers elsewhere.
    const owner = ["--data", other.dataFolder, "--json"];
    const json = async (...argv: string[]) => JSON.parse((await run([...argv, ...owner])).stdout);
    const { id } = await json("account", "add", "Shop", "--subdomain", "shop");
    const { token } = await json("token", "create", "ci", "--account", "Shop");
    const again = await countersign(["deploy", "--json"], {
      cwd: project.folder,
      env: {
        ...env,
        COUNTERSIGN_DATA: other.dataFolder,
        CLOUDFLARE_ACCOUNT_ID: id,
        CLOUDFLARE_API_TOKEN: token,
      },
    });
    assert.equal(again.status, 0, again.stderr);
    const { urls } = JSON.parse(again.stdout) as { urls: readonly string[] };
    assert.deepEqual(
      urls.map((url) => new URL(url).hostname),
      ["aimed.shop.localhost"],
    );
  });

  test("tokens, accounts and the log are those of the platform that the variables name", async () => {
    const env = { ...variables(other), COUNTERSIGN_DATA: one.dataFolder };
    const json = async (...argv: string[]) =>
      JSON.parse((await run([...argv, "--json"], env)).stdout);
    const made = await json("token", "create", "there", "--role", "viewer", "--expires", "1h");
    assert.match(made.token, /^csn_/, JSON.stringify(made));
    const listed = await json("token", "list");
    const token = listed.find(({ id }: { id: string }) => id === made.id);
    assert.deepEqual([token.name, token.status], ["there", "active"]);
    assert.ok(token.scopes.includes("ssl_certs:read") && !token.scopes.includes("ssl_certs:write"));
    assert.equal((await json("account", "list"))[0].id, other.ready.accountId);
    const [entry] = await json("audit", "list", "--limit", "1");
    assert.deepEqual([entry.action, entry.resource.id], ["token.create", made.id]);
    const rolled = await json("token", "roll", "there");
    assert.notEqual(rolled.token, made.token);
    assert.equal((await json("token", "revoke", "there", "--yes")).id, made.id);
    const here = await run(["token", "list", "--json", "--data", one.dataFolder]);
    assert.doesNotMatch(here.stdout, /"there"/);
  });

  test("what is the machine owner's says so where the variables name another platform", async () => {
    const env = { ...variables(other), COUNTERSIGN_DATA: one.dataFolder };
    for (const argv of [["keys", "status"], ["user", "list"], ["audit", "verify"], ["env"]]) {
      const { status, stderr } = await run(argv, env);
      assert.equal(status, 0, stderr);
      assert.match(stderr, /this acts on .* not on .*, which CLOUDFLARE_API_BASE_URL names/);
      const named = await run([...argv, "--data", one.dataFolder], env);
      assert.doesNotMatch(named.stderr, /this acts on/);
    }
    const nowhere = await run(["keys", "status"], variables(other));
    assert.equal(nowhere.status, 3);
    assert.match(nowhere.stderr, /for the owner of a platform's machine/);
  });

  test("/healthz and /readyz answer without a token", async () => {
    const { origin } = new URL(one.ready.api);
    assert.equal((await fetch(`${origin}/healthz`)).status, 200);
    assert.equal((await fetch(`${origin}/readyz`)).status, 200);
  });
});

test("a certificate's file is judged without a platform", async () => {
  const folder = mkdtempSync(join(tmpdir(), "countersign-inspect-"));
  try {
    const authority = await makeAuthority();
    const client = await authority.issue({ subject: "CN=inspected" });
    const stranger = await authority.issue({ subject: "CN=stranger" });
    writeFileSync(join(folder, "cert.pem"), client.chain);
    writeFileSync(join(folder, "key.pem"), client.key);
    writeFileSync(join(folder, "other.pem"), stranger.key);
    const argv = ["certificate", "inspect", "cert.pem"];
    const alone = await countersign(argv, { cwd: folder });
    assert.equal(alone.status, 0, alone.stderr);
    assert.match(alone.stdout, /CN=inspected/);
    const pair = await countersign([...argv, "--key", "key.pem", "--json"], { cwd: folder });
    assert.equal(JSON.parse(pair.stdout).subject, "CN=inspected");
    const wrong = await countersign([...argv, "--key", "other.pem"], { cwd: folder });
    assert.equal(wrong.status, 1);
    assert.equal(statSync(join(folder, "cert.pem")).isFile(), true);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

function variables({ ready }: TestPlatform): Readonly<Record<string, string>> {
  return { CLOUDFLARE_API_BASE_URL: ready.api, CLOUDFLARE_API_TOKEN: ready.token };
}
