import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { secretPlace } from "../src/keys/places.ts";
import { storeSource } from "../src/store/change-feed.ts";
import { startControl, type TestControl } from "./helpers/control.ts";
import { wranglerProject, type WranglerProject } from "./helpers/wrangler.ts";

describe("an unmodified wrangler, for versions and secrets", { concurrency: true }, () => {
  let control: TestControl;
  before(async () => {
    control = await startControl();
  });
  after(() => control[Symbol.asyncDispose]());

  const project = (name: string): Promise<WranglerProject> =>
    wranglerProject(control, {
      "wrangler.jsonc": { name, main: "index.js", compatibility_date: "2026-11-01" },
      "index.js": "export default { fetch: () => new Response('hello') };",
      "secrets.json": { FIRST: "first-value", SECOND: "second-value" },
    });

  async function traffic(scriptName: string): Promise<Record<string, number>> {
    const source = storeSource(control.store);
    const deployment = await source.deployment({ accountId: control.accountId, scriptName });
    return Object.fromEntries(
      deployment?.versions.map(({ version, percentage }) => [version.versionId, percentage]) ?? [],
    );
  }

  it("versions are uploaded, listed, viewed, split and rolled back", async () => {
    await using shop = await project("gradual");
    const deploy = await shop.run(["deploy"]);
    const old = /Current Version ID: (\S+)/.exec(deploy.stdout)?.[1] ?? "";
    const upload = await shop.run(["versions", "upload", "--tag", "v2", "--message", "next"]);
    assert.equal(upload.exitCode, 0, upload.output);
    const next = /Worker Version ID: (\S+)/.exec(upload.stdout)?.[1] ?? "";
    assert.deepEqual(await traffic("gradual"), { [old]: 100 });

    const [listed, viewed] = await Promise.all([
      shop.run(["versions", "list"]),
      shop.run(["versions", "view", next]),
    ]);
    assert.match(listed.stdout, new RegExp(`${old}[\\s\\S]*${next}[\\s\\S]*v2[\\s\\S]*next`));
    assert.match(viewed.stdout, /Compatibility Date: +2026-11-01/);

    const split = await shop.run(["versions", "deploy", `${old}@60`, `${next}@40`, "-y"]);
    assert.equal(split.exitCode, 0, split.output);
    assert.deepEqual(await traffic("gradual"), { [old]: 60, [next]: 40 });

    const [status, list] = await Promise.all([
      shop.run(["deployments", "status"]),
      shop.run(["deployments", "list"]),
    ]);
    assert.match(status.stdout, new RegExp(`\\(60%\\) ${old}[\\s\\S]*\\(40%\\) ${next}`));
    assert.match(list.stdout, new RegExp(`\\(100%\\) ${old}`));

    assert.equal((await shop.run(["versions", "deploy", `${next}@100`, "-y"])).exitCode, 0);
    const rollback = await shop.run(["rollback", old, "-m", "it was bad", "-y"]);
    assert.equal(rollback.exitCode, 0, rollback.output);
    assert.deepEqual(await traffic("gradual"), { [old]: 100 });
    const { result } = await control.call(
      "GET",
      "/accounts/{account}/workers/scripts/gradual/deployments",
    );
    assert.deepEqual(result.deployments[0].annotations, {
      "workers/message": "it was bad",
      "workers/triggered_by": "rollback",
    });
  });

  it("secrets are set, listed by name, set in bulk and deleted", async () => {
    await using vault = await project("vault");
    const put = await vault.run(["secret", "put", "TOKEN"], { stdin: "token-value\n" });
    assert.equal(put.exitCode, 0, put.output);
    assert.match(put.stdout, /Creating new Worker "vault"[\s\S]*Uploaded secret TOKEN/);
    assert.equal((await vault.run(["deploy"])).exitCode, 0);
    const bulk = await vault.run(["secret", "bulk", "secrets.json"]);
    assert.match(bulk.stdout, /2 secrets successfully created/);
    const deleted = await vault.run(["secret", "delete", "SECOND"]);
    assert.equal(deleted.exitCode, 0, deleted.output);

    const listed = await vault.run(["secret", "list"]);
    assert.deepEqual(JSON.parse(listed.stdout), [
      { name: "TOKEN", type: "secret_text" },
      { name: "FIRST", type: "secret_text" },
    ]);
    const source = storeSource(control.store);
    const deployment = await source.deployment({
      accountId: control.accountId,
      scriptName: "vault",
    });
    const version = deployment?.versions[0]?.version;
    const texts = version?.bindings.map((binding) => {
      assert.ok(binding.type === "secret_text");
      assert.ok(version);
      const place = secretPlace({ ...version, name: binding.name });
      return control.keyring.unseal(place, binding.sealed);
    });
    assert.deepEqual(texts, ["token-value", "first-value"]);
  });

  it("a secret does not bring along a version that is not deployed", async () => {
    await using shop = await project("careful");
    assert.equal((await shop.run(["deploy"])).exitCode, 0);
    assert.equal((await shop.run(["versions", "upload"])).exitCode, 0);
    const shares = await traffic("careful");
    const put = await shop.run(["secret", "put", "LATE"], { stdin: "x" });
    assert.equal(put.exitCode, 1);
    assert.match(put.stderr, /the latest version of your Worker isn't currently deployed/);
    const late = await shop.run(["versions", "secret", "put", "LATE"], { stdin: "x" });
    assert.equal(late.exitCode, 0, late.output);
    const listed = await shop.run(["versions", "secret", "list", "--latest-version"]);
    assert.match(listed.stdout, /\(0%\) secrets --\nSecret Name: LATE/);
    assert.deepEqual(await traffic("careful"), shares);
  });
});
