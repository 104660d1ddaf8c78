import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { Failure } from "../src/failures/failures.ts";
import { storeSource } from "../src/store/change-feed.ts";
import { type Envelope, startControl, type TestControl } from "./helpers/control.ts";
import { databaseHash, engines } from "./helpers/database.ts";
import { makeAuthority } from "./helpers/pki.ts";
import { scriptForm } from "./helpers/script-form.ts";

for (const [engine, open] of Object.entries(engines)) {
  describe(`scripts, through the API on ${engine}`, () => {
    let control: TestControl;
    before(async () => {
      control = await startControl({ open });
    });
    after(() => control[Symbol.asyncDispose]());

    const scripts = "/accounts/{account}/workers/scripts";
    const put = (name: string, ...form: Parameters<typeof scriptForm>): Promise<Envelope> =>
      control.call("PUT", `${scripts}/${name}`, scriptForm(...form));
    const running = (
      scriptName: string,
    ): ReturnType<ReturnType<typeof storeSource>["deployment"]> =>
      storeSource(control.store).deployment({ accountId: control.accountId, scriptName });

    it("a version is started before anything is stored, and answered once it is in force", async () => {
      const answer = await put("order");
      assert.equal(answer.status, 200, JSON.stringify(answer.errors));
      const staged = control.edge.staged.at(-1);
      assert.equal(staged?.scriptName, "order");
      assert.equal(staged.versionId, answer.result.deployment_id);
      assert.equal(staged.compatibilityDate, "2021-11-02");
      const { cursor } = await storeSource(control.store).snapshot();
      assert.equal(control.edge.applications.at(-1), cursor);
    });

    it("an upload is answered with the script as it is after it, and not before", async () => {
      const sequence = [{ tags: ["one"] }, { tags: ["two", "three"] }];
      let last = "";
      for (const settings of sequence) {
        const { result } = await put("told", settings);
        assert.deepEqual(result.tags, settings.tags);
        assert.ok(result.modified_on > last, `${last} ${result.modified_on}`);
        last = result.modified_on;
        const listed = await control.call("GET", scripts);
        const shown = listed.result.find((one: { readonly id: string }) => one.id === "told");
        assert.deepEqual([shown.modified_on, shown.tags], [last, settings.tags]);
        await new Promise((resolve) => setTimeout(resolve, 2));
      }
    });

    it("a version that does not start leaves what runs, and the database, as they were", async () => {
      await put("steady", { bindings: [{ type: "plain_text", name: "V", text: "1" }] });
      const unchanged = await databaseHash(control.store);
      const failure = new Failure("metadata_invalid", {
        message: "Uncaught Error: no\n  at a.js:1",
      });
      for (const [method, path] of [
        ["PUT", `${scripts}/steady`],
        ["POST", `${scripts}/steady/versions`],
      ] as const) {
        control.edge.refuseNext("steady", failure);
        const answer = await control.call(method, path, scriptForm());
        assert.equal(answer.errors[0]?.code, 10021);
        assert.match(answer.errors[0].message, /Uncaught Error: no\n {2}at a\.js:1/);
      }
      assert.equal(await databaseHash(control.store), unchanged);
    });

    it("bindings are kept by type, inherited by name, and refused where there are none", async () => {
      const first = [
        { type: "plain_text", name: "VAR", text: "1" },
        { type: "secret_text", name: "SECRET", text: "s" },
        { type: "json", name: "GONE", json: [1] },
      ];
      assert.equal((await put("keeps", { bindings: first })).status, 200);
      const kept = await put("keeps", {
        keep_bindings: ["secret_text"],
        bindings: [{ type: "inherit", name: "RENAMED", old_name: "VAR" }],
      });
      assert.equal(kept.status, 200, JSON.stringify(kept.errors));
      const bindings = (await running("keeps"))?.versions[0]?.version.bindings;
      assert.deepEqual(
        bindings?.map(({ name, type }) => [name, type]),
        [
          ["RENAMED", "plain_text"],
          ["SECRET", "secret_text"],
        ],
      );
      const refused = await put("keeps", { bindings: [{ type: "inherit", name: "GONE" }] });
      assert.deepEqual([refused.status, refused.errors[0]?.code], [400, 10057]);
      assert.match(refused.errors[0]?.message ?? "", /"GONE"/);
    });

    it("each thing that cannot be bound or loaded is refused by its name", async () => {
      const ca = await control.call("POST", "/accounts/{account}/mtls_certificates", {
        certificates: (await makeAuthority()).pem,
        ca: true,
      });
      const js = "application/javascript+module";
      const cases: [Parameters<typeof scriptForm>, number, RegExp][] = [
        [[{ bindings: [{ type: "browser", name: "PAGE" }] }], 7000345, /"PAGE" \(browser\)/],
        [[{ bindings: [{ type: "__proto__", name: "P" }] }], 7000345, /"P" \(__proto__\)/],
        [[{ bindings: [{ type: "plain_text", name: "T", text: 7 }] }], 10021, /"T" .*"text"/],
        [
          [{ bindings: [1, 2].map(() => ({ type: "plain_text", name: "TWICE", text: "" })) }],
          10021,
          /"TWICE" appears twice/,
        ],
        [
          [{ bindings: [{ type: "mtls_certificate", name: "C", certificate_id: "none" }] }],
          100143,
          /"C" names the certificate "none"/,
        ],
        [
          [{ bindings: [{ type: "mtls_certificate", name: "A", certificate_id: ca.result.id }] }],
          7000346,
          /"A" names the CA/,
        ],
        [[{ bindings: [{ type: "service", name: "S", service: "no" }] }], 10143, /"S" .*"no"/],
        [[{ main_module: "other.js" }], 7000344, /"other.js" is not among the 1 modules/],
        [[{ body_part: "script" }], 7000344, /"script" is not among the 1/],
        [[{ body_part: "index.js" }], 7000342, /"index.js" is a module/],
        [
          [{ bindings: [{ type: "text_blob", name: "T", part: "t" }] }],
          7000342,
          /"T" is a text_blob, and ES modules import/,
        ],
        [
          [
            { body_part: "a.js", bindings: [{ type: "wasm_module", name: "W", part: "w" }] },
            { "a.js": ["application/javascript", ""] },
          ],
          7000342,
          /"W" is a wasm_module, and its part "w" was not uploaded/,
        ],
        [[{ compatibility_date: "tomorrow" }], 7000347, /"tomorrow" is not a date/],
        [[{ migrations: { deleted_classes: ["A"] } }], 7000370, /"A" .*keeps no Durable Objects/],
        [[{}, { "a.py": ["text/x-python", ""] }], 7000348, /"a.py" is Python/],
        [[{}, { "a.rb": ["text/x-ruby", ""] }], 7000343, /"a.rb" .*"text\/x-ruby"/],
        [[{}, { "a.js": [js, ""], "\u0007": [js, ""] }], 7000343, /cannot be imported/],
      ];
      const unchanged = await databaseHash(control.store);
      const { length } = control.edge.staged;
      for (const [form, code, message] of cases) {
        const answer = await put("refused", ...form);
        assert.equal(answer.errors[0]?.code, code, JSON.stringify(answer.errors));
        assert.match(answer.errors[0].message, message);
      }
      assert.equal(await databaseHash(control.store), unchanged);
      assert.equal(control.edge.staged.length, length);
    });

    it("deploys of one script at the same time come one after the other", async () => {
      const answers = await Promise.all(
        Array.from({ length: 12 }, (_, index) =>
          put("busy", { bindings: [{ type: "plain_text", name: "N", text: String(index) }] }),
        ),
      );
      assert.deepEqual(new Set(answers.map(({ status }) => status)), new Set([200]));
      const { result } = await control.call("GET", `${scripts}/busy/versions?per_page=100`);
      const numbers = result.items.map(({ number }: { number: number }) => number);
      assert.deepEqual(numbers, [12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1]);
      const deployments = await control.call("GET", `${scripts}/busy/deployments`);
      assert.equal(deployments.result.deployments.length, 12);
      assert.equal((await running("busy"))?.versions[0]?.version.versionId, result.items[0].id);
    });

    it("a Worker that another one is bound to is deleted only by force", async () => {
      await put("backend");
      await put("frontend", { bindings: [{ type: "service", name: "B", service: "backend" }] });
      const references = await control.call("GET", `${scripts}/backend/references`);
      assert.deepEqual(references.result.services.incoming, [
        { service: "frontend", environment: "production" },
      ]);
      const refused = await control.call("DELETE", `${scripts}/backend`);
      assert.deepEqual([refused.status, refused.errors[0]?.code], [409, 10064]);
      assert.match(refused.errors[0]?.message ?? "", /"frontend"/);
      assert.ok(await running("backend"));
      assert.equal((await control.call("DELETE", `${scripts}/backend?force=true`)).status, 200);
      assert.equal(await running("backend"), null);
    });

    it("a rollback to a certificate that was deleted is refused, and what runs stays", async () => {
      const leaf = await (await makeAuthority()).issue({ subject: "CN=old" });
      const certificate = await control.call("POST", "/accounts/{account}/mtls_certificates", {
        certificates: leaf.pem,
        private_key: leaf.key,
      });
      const { id } = certificate.result;
      const bound = { bindings: [{ type: "mtls_certificate", name: "C", certificate_id: id }] };
      const old = (await put("rolls", bound)).result.deployment_id as string;
      const path = `/accounts/{account}/mtls_certificates/${id}`;
      assert.equal((await control.call("DELETE", path)).status, 409);
      const current = (await put("rolls")).result.deployment_id as string;
      assert.equal((await control.call("DELETE", path)).status, 200);
      const back = await control.call("POST", `${scripts}/rolls/deployments`, {
        versions: [{ version_id: old, percentage: 100 }],
      });
      assert.equal(back.errors[0]?.code, 100143);
      assert.equal((await running("rolls"))?.versions[0]?.version.versionId, current);
    });

    it("a certificate deleted while a version starts is noticed, and the version is stopped", async () => {
      const leaf = await (await makeAuthority()).issue({ subject: "CN=fleeting" });
      const { result } = await control.call("POST", "/accounts/{account}/mtls_certificates", {
        certificates: leaf.pem,
        private_key: leaf.key,
      });
      control.edge.duringNext("late", () =>
        control.call("DELETE", `/accounts/{account}/mtls_certificates/${result.id}`),
      );
      const binding = { type: "mtls_certificate", name: "C", certificate_id: result.id };
      const answer = await put("late", { bindings: [binding] });
      assert.equal(answer.errors[0]?.code, 100143);
      const staged = control.edge.staged.at(-1);
      assert.equal(staged?.scriptName, "late");
      assert.equal(control.edge.discarded.at(-1), staged.versionId);
      assert.equal(await running("late"), null);
    });

    it("a version deployed right after its upload is not started twice", async () => {
      await put("warm");
      const upload = await control.call("POST", `${scripts}/warm/versions`, scriptForm());
      const version_id = upload.result.id as string;
      const versions = [{ version_id, percentage: 100 }];
      const deployed = await control.call("POST", `${scripts}/warm/deployments`, { versions });
      assert.equal(deployed.status, 200, JSON.stringify(deployed.errors));
      const starts = control.edge.staged.filter(({ versionId }) => versionId === version_id);
      assert.equal(starts.length, 1);
      assert.ok(!control.edge.discarded.includes(version_id));
      assert.equal((await running("warm"))?.versions[0]?.version.versionId, version_id);
    });

    it("a deployment's percentages add up to 100", async () => {
      const one = (await put("split")).result.deployment_id as string;
      const two = (await put("split")).result.deployment_id as string;
      for (const versions of [
        [share(one, 50)],
        [share(one, 50), share(one, 50)],
        [share(one, 60), share(two, 60)],
      ]) {
        const answer = await control.call("POST", `${scripts}/split/deployments`, { versions });
        assert.equal(answer.errors[0]?.meta?.["failure"], "deployment_invalid");
      }
      const answer = await control.call("POST", `${scripts}/split/deployments`, {
        versions: [share(one, 0.5), share(two, 99.5)],
      });
      assert.equal(answer.status, 200, JSON.stringify(answer.errors));
    });

    it("the modules come back as they were uploaded", async () => {
      await put(
        "content",
        {},
        {
          "index.js": ["application/javascript+module", "export default { fetch() {} }"],
          "text.txt": ["text/plain", "a\r\nb"],
        },
      );
      const response = await fetch(
        `${control.api}/accounts/${control.accountId}/workers/scripts/content`,
        {
          headers: { authorization: `Bearer ${control.token}` },
        },
      );
      assert.equal(response.headers.get("cf-entrypoint"), "index.js");
      const form = await response.formData();
      const text = form.get("text.txt");
      assert.ok(text instanceof File);
      assert.deepEqual([text.type, await text.text()], ["text/plain", "a\r\nb"]);
    });
  });
}

function share(version_id: string, percentage: number): object {
  return { version_id, percentage };
}
