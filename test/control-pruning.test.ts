import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { startControl, type TestControl } from "./helpers/control.ts";
import { engines } from "./helpers/database.ts";
import { scriptForm } from "./helpers/script-form.ts";
import { wranglerProject } from "./helpers/wrangler.ts";

function code(n: number): FormData {
  const text = `export default { fetch() { /* ${n} */ } }`;
  return scriptForm({}, { "index.js": ["application/javascript+module", text] });
}

function form(bindings: readonly object[]): FormData {
  return scriptForm({ bindings });
}

for (const [engine, open] of Object.entries(engines)) {
  describe(`versions that are kept, on ${engine}`, () => {
    let control: TestControl;
    before(async () => {
      control = await startControl({ open });
    });
    after(() => control[Symbol.asyncDispose]());
    const path = "/accounts/{account}/workers/scripts/many";
    const blobs = async (): Promise<number> =>
      (await control.store.db.selectFrom("blobs").select("hash").execute()).length;

    it("are the last hundred, and what is deployed", async () => {
      await control.call("PUT", path, code(0));
      const { result } = await control.call("GET", `${path}/deployments`);
      const live = result.deployments[0].versions[0].version_id as string;
      for (let n = 1; n <= 103; n += 1) await control.call("POST", `${path}/versions`, code(n));
      const listed = await control.call("GET", `${path}/versions?per_page=100`);
      const numbers = listed.result.items.map((one: { number: number }) => one.number) as number[];
      assert.equal(numbers.length, 100);
      assert.deepEqual([numbers[0], numbers.at(-1)], [104, 5]);
      const deployed = await control.call("GET", `${path}/versions/${live}`);
      assert.equal(deployed.success, true, "what is deployed is kept");
      // Modules that no version uses are gone too.
      assert.equal(await blobs(), 101);
      await control.call("PUT", path, code(200));
      const again = await control.call("GET", `${path}/versions/${live}`);
      assert.equal(again.status, 404, "once it is not deployed any more, it goes");
      const { result: left } = await control.call("GET", `${path}/deployments`);
      assert.equal(left.deployments.length, 1);
    });
  });
}

describe("a rollback", () => {
  let control: TestControl;
  before(async () => {
    control = await startControl();
  });
  after(() => control[Symbol.asyncDispose]());

  it("takes the secrets of its version back, and wrangler asks before", async () => {
    const path = "/accounts/{account}/workers/scripts/shop";
    await control.call("PUT", path, form([{ name: "KEY", type: "secret_text", text: "one" }]));
    const version = async (): Promise<string> =>
      (await control.call("GET", `${path}/deployments`)).result.deployments[0].versions[0]
        .version_id;
    const first = await version();
    await control.call("PUT", path, form([{ name: "KEY", type: "secret_text", text: "one" }]));
    const same = await control.call("POST", `${path}/deployments`, {
      strategy: "percentage",
      versions: [{ version_id: first, percentage: 100 }],
    });
    assert.equal(same.success, true, "the same secrets are nothing to ask about");
    await control.call(
      "PUT",
      path,
      form([
        { name: "KEY", type: "secret_text", text: "two" },
        { name: "OTHER", type: "secret_text", text: "new" },
      ]),
    );
    const refused = await control.call("POST", `${path}/deployments`, {
      strategy: "percentage",
      versions: [{ version_id: first, percentage: 100 }],
    });
    assert.equal(refused.errors[0]?.code, 10220);
    assert.match(
      refused.errors[0]?.message ?? "",
      /The following secrets have changed: KEY, OTHER$/,
    );
    assert.doesNotMatch(JSON.stringify(refused), /"two"|"one"/);
    await using project = await wranglerProject(control, {
      "wrangler.json": { name: "shop", main: "index.js", compatibility_date: "2026-11-01" },
      "index.js": "export default { fetch() {} };",
    });
    const run = await project.run(["rollback", first, "-y", "--message", "back"]);
    assert.equal(run.exitCode, 0, run.output);
    assert.match(run.output, /\* KEY\n\s*\* OTHER/);
    assert.equal(await version(), first);
  });
});
