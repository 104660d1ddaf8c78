import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import Cloudflare from "cloudflare";
import Cloudflare5 from "cloudflare-5";
import { storeSource } from "../src/store/change-feed.ts";
import { type Envelope, startControl, type TestControl } from "./helpers/control.ts";
import { databaseHash } from "./helpers/database.ts";
import { scriptForm } from "./helpers/script-form.ts";

describe("uploads of clients that are not wrangler", () => {
  let control: TestControl;
  let account: { account_id: string };
  before(async () => {
    control = await startControl();
    account = { account_id: control.accountId };
  });
  after(() => control[Symbol.asyncDispose]());

  const scripts = "/accounts/{account}/workers/scripts";
  const put = (name: string, ...form: Parameters<typeof scriptForm>): Promise<Envelope> =>
    control.call("PUT", `${scripts}/${name}`, scriptForm(...form));
  const metadata = {
    main_module: "index.mjs",
    compatibility_date: "2026-01-01",
    bindings: [{ type: "plain_text" as const, name: "A", text: "1" }],
  };

  it("the npm SDK uploads a script and a version of it, and reads both", async () => {
    const client = new Cloudflare({ apiToken: control.token, baseURL: control.api });
    const { scripts: sdk } = client.workers;
    const uploaded = await sdk.update("npm7", { ...account, metadata, files: [file()] });
    assert.deepEqual([uploaded.id, uploaded.handlers], ["npm7", ["fetch"]]);
    const version = await sdk.versions.create("npm7", { ...account, metadata, files: [file()] });
    assert.equal(version.number, 2);
    const staged = control.edge.staged.at(-1);
    assert.equal(staged?.mainModule, "index.mjs");
    assert.deepEqual(staged.bindings, [{ type: "plain_text", name: "A", text: "1" }]);
    assert.match(await sdk.get("npm7", account), /export default/);
  });

  it("the npm SDK of before, whose metadata is one part, uploads too", async () => {
    const client = new Cloudflare5({ apiToken: control.token, baseURL: control.api });
    const uploaded = await client.workers.scripts.update("npm5", {
      ...account,
      metadata,
      files: [file()],
    });
    assert.equal(uploaded.id, "npm5");
  });

  it("parts that are named files have the names of their files", async () => {
    for (const partName of ["files", "files[]", "files[0]"]) {
      const form = new FormData();
      form.append("metadata", JSON.stringify({ main_module: "a.mjs" }));
      form.append(partName, file("a.mjs"));
      form.append(partName, new File(["x"], "b.txt", { type: "text/plain" }));
      const answer = await control.call("PUT", `${scripts}/files`, form);
      assert.equal(answer.status, 200, JSON.stringify(answer.errors));
      assert.deepEqual(
        control.edge.staged.at(-1)?.modules.map(({ name }) => name),
        ["a.mjs", "b.txt"],
      );
    }
  });

  it("JavaScript that is no form is refused as that", async () => {
    const response = await fetch(
      `${control.api}/accounts/${control.accountId}/workers/scripts/js`,
      {
        method: "PUT",
        headers: {
          authorization: `Bearer ${control.token}`,
          "content-type": "application/javascript",
        },
        body: "export default {}",
      },
    );
    assert.equal(response.status, 400);
    assert.match(await response.text(), /multipart\/form-data is needed/);
  });

  it("settings that come with an upload are kept, and always shown", async () => {
    const sent = {
      tags: ["team-a"],
      logpush: false,
      observability: { enabled: true },
      limits: { cpu_ms: 50 },
      placement: {},
      tail_consumers: [],
      usage_model: "standard",
      keep_assets: false,
      annotations: { "workers/message": "first", "workers/tag": null },
    };
    assert.equal((await put("kept", sent)).status, 200);
    assert.deepEqual(control.edge.staged.at(-1)?.limits, { cpuMs: 50 });
    const { result } = await control.call("GET", `${scripts}/kept/settings`);
    assert.deepEqual(result, {
      tags: ["team-a"],
      logpush: false,
      observability: { enabled: true },
      tail_consumers: [],
      bindings: [],
      compatibility_date: "2021-11-02",
      compatibility_flags: [],
      usage_model: "standard",
      placement: {},
      annotations: { "workers/message": "first" },
      limits: { cpu_ms: 50 },
    });
    await control.call("PUT", `${scripts}/kept/secrets`, {
      name: "S",
      text: "s",
      type: "secret_text",
    });
    const source = storeSource(control.store);
    const live = await source.deployment({ accountId: control.accountId, scriptName: "kept" });
    assert.deepEqual(live?.versions[0]?.version.limits, { cpuMs: 50 });
  });

  it("an unsupported field is refused by its name, in any place", async () => {
    const service = { type: "service", name: "S", service: "self" };
    const cases: [object, RegExp][] = [
      [{ future: 1 }, /"future", which Countersign does not know/],
      [{ logpush: true }, /Logpush/],
      [{ limits: { subrequests: 5 } }, /limits\.subrequests/],
      [{ limits: { wall_ms: 5 } }, /wall_ms/],
      [{ cache_options: { enabled: true } }, /cache_options/],
      [{ bindings: [{ ...service, cross_account_grant: "x" }] }, /"S" .*"cross_account_grant"/],
      [{ bindings: [{ ...service, environment: "staging" }] }, /"environment"/],
      [{ bindings: [{ type: "plain_text", name: "T", text: "", part: "p" }] }, /"T" .*"part"/],
      [{ bindings: [{ type: "secret_text", name: "T", text: "", usages: [] }] }, /"usages"/],
      [
        { bindings: [{ type: "mtls_certificate", name: "C", certificate_id: "x", ca: 1 }] },
        /"C" .*"ca"/,
      ],
      [{ bindings: [{ type: "version_metadata", name: "V", format: 1 }] }, /"format"/],
      [{ bindings: [{ type: "inherit", name: "I", version_id: "0-0" }] }, /"version_id"/],
    ];
    const unchanged = await databaseHash(control.store);
    for (const [more, message] of cases) {
      const answer = await put("self", more);
      assert.equal(answer.status, 400, JSON.stringify(more));
      assert.match(answer.errors[0]?.message ?? "", message);
    }
    assert.equal(await databaseHash(control.store), unchanged);
  });

  it("a script without a handler is refused, after it was started and before it is stored", async () => {
    const none = { "a.js": ["application/javascript+module", "export default { }"] } as const;
    const unchanged = await databaseHash(control.store);
    const { length } = control.edge.discarded;
    const answer = await put("none", {}, none);
    assert.deepEqual([answer.status, answer.errors[0]?.code], [400, 10068]);
    assert.equal(await databaseHash(control.store), unchanged);
    assert.equal(control.edge.discarded.length, length + 1);
  });

  it("an upload of very many parts, bindings or secrets is refused before work is done", async () => {
    const { length } = control.edge.staged;
    const many = Array.from({ length: 1001 }, (_, index) => `N${index}`);
    const js = "application/javascript+module";
    const parts = Object.fromEntries(many.map((name) => [name, [js, ""] as const]));
    const secrets = many.map((name) => ({ type: "secret_text", name, text: "" }));
    const bulk = Object.fromEntries(many.map((name) => [name, { type: "secret_text", text: "" }]));
    await put("many");
    for (const answer of [
      await put("many", {}, parts),
      await put("many", { bindings: secrets }),
      await control.call("PATCH", `${scripts}/many/secrets-bulk`, { secrets: bulk }),
    ]) {
      assert.match(answer.errors[0]?.message ?? "", /1,?000/);
    }
    assert.equal(control.edge.staged.length, length + 1);
    const half = Object.fromEntries(Object.entries(bulk).slice(0, 600));
    const first = await control.call("PATCH", `${scripts}/many/secrets-bulk`, { secrets: half });
    assert.equal(first.status, 200);
    const rest = Object.fromEntries(Object.entries(bulk).slice(600));
    const second = await control.call("PATCH", `${scripts}/many/secrets-bulk`, { secrets: rest });
    assert.match(second.errors[0]?.message ?? "", /1001 bindings/);
  });

  it("a failure that no retry heals says so to the SDKs", async () => {
    await put("bound");
    await put("binder", { bindings: [{ type: "service", name: "B", service: "bound" }] });
    const url = `${control.api}/accounts/${control.accountId}/workers/scripts/bound`;
    const headers = { authorization: `Bearer ${control.token}` };
    const answer = await fetch(url, { method: "DELETE", headers });
    assert.deepEqual([answer.status, answer.headers.get("x-should-retry")], [409, "false"]);
    let calls = 0;
    const client = new Cloudflare({
      apiToken: control.token,
      baseURL: control.api,
      fetch: (...call) => {
        calls++;
        return fetch(...call);
      },
    });
    await assert.rejects(client.workers.scripts.delete("bound", account), { status: 409 });
    assert.equal(calls, 1);
  });
});

function file(name = "index.mjs"): File {
  return new File(["export default { fetch() {} }"], name, {
    type: "application/javascript+module",
  });
}
