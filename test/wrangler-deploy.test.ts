import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { Failure } from "../src/failures/failures.ts";
import { storeSource } from "../src/store/change-feed.ts";
import { startControl, type TestControl } from "./helpers/control.ts";
import { makeAuthority } from "./helpers/pki.ts";
import { wranglerProject } from "./helpers/wrangler.ts";

const worker = "export default { fetch: () => new Response('hello') };";

describe("an unmodified wrangler, for deploying", { concurrency: true }, () => {
  let control: TestControl;
  before(async () => {
    control = await startControl();
  });
  after(() => control[Symbol.asyncDispose]());

  const deployed = (scriptName: string): ReturnType<ReturnType<typeof storeSource>["deployment"]> =>
    storeSource(control.store).deployment({ accountId: control.accountId, scriptName });

  it("deploy puts a Worker with a certificate live, and again", async () => {
    const leaf = await (await makeAuthority()).issue({ subject: "CN=app" });
    const { result } = await control.call("POST", "/accounts/{account}/mtls_certificates", {
      name: "app",
      certificates: leaf.pem,
      private_key: leaf.key,
      ca: false,
    });
    await using project = await wranglerProject(
      control,
      configured("app", {
        vars: { GREETING: "hello", LIMITS: { per: 1 } },
        version_metadata: { binding: "VERSION" },
        mtls_certificates: [{ binding: "APP_CERT", certificate_id: result.id }],
      }),
    );
    const first = await project.run(["deploy"]);
    assert.equal(first.exitCode, 0, first.output);
    assert.match(first.stdout, /https:\/\/app\.countersign\.workers\.dev/);
    const second = await project.run(["deploy", "--message", "again", "--tag", "v2"]);
    assert.equal(second.exitCode, 0, second.output);

    const deployment = await deployed("app");
    assert.deepEqual(deployment?.hosts, [
      "app.localhost",
      "app.countersign.localhost",
      "app.countersign.workers.dev",
    ]);
    const [share] = deployment.versions;
    assert.equal(share?.percentage, 100);
    assert.match(second.stdout, new RegExp(`Current Version ID: ${share.version.versionId}`));
    const bindings = new Map(share.version.bindings.map((binding) => [binding.name, binding]));
    assert.deepEqual(bindings.get("APP_CERT"), {
      name: "APP_CERT",
      type: "mtls_certificate",
      certificateId: result.id,
    });
    assert.deepEqual(bindings.get("LIMITS"), { name: "LIMITS", type: "json", json: { per: 1 } });
    const metadata = bindings.get("VERSION");
    assert.ok(metadata?.type === "version_metadata");
    assert.equal(metadata.id, share.version.versionId);
    assert.equal(metadata.tag, "v2");
    assert.equal(share.version.compatibilityDate, "2026-11-01");

    const inUse = await project.run(["mtls-certificate", "delete", "--name", "app"]);
    assert.equal(inUse.exitCode, 1);
    assert.match(inUse.stderr, /is bound by "app"/);
    const path = `/accounts/{account}/mtls_certificates/${result.id}/associations`;
    assert.deepEqual((await control.call("GET", path)).result, [
      { service: "app", status: "active" },
    ]);
  });

  it("deploy uploads modules of every type", async () => {
    await using project = await wranglerProject(control, {
      ...configured("modules", {
        no_bundle: true,
        find_additional_modules: true,
        rules: [
          { type: "ESModule", globs: ["lib/*.js"] },
          { type: "CommonJS", globs: ["*.cjs"] },
          { type: "Text", globs: ["*.txt"] },
          { type: "Data", globs: ["*.bin"] },
        ],
        upload_source_maps: true,
      }),
      "index.js": `import "./lib/a.js"; ${worker}\n//# sourceMappingURL=index.js.map`,
      "index.js.map": { version: 3, sources: ["index.ts"], names: [], mappings: "AAAA" },
      "lib/a.js": "export const a = 1;",
      "b.cjs": "module.exports = { b: 2 };",
      "c.txt": "text",
      "d.bin": new Uint8Array([0, 255, 13, 10]),
      "e.wasm": new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0]),
    });
    const run = await project.run(["deploy"]);
    assert.equal(run.exitCode, 0, run.output);
    const version = (await deployed("modules"))?.versions[0]?.version;
    const types = Object.fromEntries(version?.modules.map(({ name, type }) => [name, type]) ?? []);
    assert.deepEqual(types, {
      "index.js": "esm",
      "lib/a.js": "esm",
      "b.cjs": "commonjs",
      "c.txt": "text",
      "d.bin": "data",
      "e.wasm": "wasm",
      "index.js.map": "sourcemap",
    });
    const data = version?.modules.find(({ name }) => name === "d.bin");
    assert.deepEqual([...(data?.content ?? [])], [0, 255, 13, 10]);
    assert.equal(version?.mainModule, "index.js");
  });

  it("routes and custom domains replace the Worker's workers.dev host", async () => {
    const routes = [
      "shop.example.com/*",
      { pattern: "*.shop.example.org/api/*", zone_name: "example.org" },
      { pattern: "api.example.com", custom_domain: true },
    ];
    await using project = await wranglerProject(
      control,
      configured("shop", { workers_dev: false, routes }),
    );
    for (const time of ["first", "second"]) {
      const run = await project.run(["deploy"]);
      assert.equal(run.exitCode, 0, `${time}: ${run.output}`);
      const { hosts, routes: patterns } = (await deployed("shop")) ?? {};
      assert.deepEqual(hosts, ["shop.localhost", "shop.countersign.localhost", "api.example.com"]);
      assert.deepEqual(patterns, ["*.shop.example.org/api/*", "shop.example.com/*"]);
    }
    await using other = await wranglerProject(
      control,
      configured("thief", { workers_dev: false, routes: ["shop.example.com/*"] }),
    );
    const refused = await other.run(["deploy"]);
    assert.equal(refused.exitCode, 1);
    assert.match(refused.stderr, /"shop" is already assigned to routes/);

    await project.write(configured("shop", { workers_dev: true, routes: [] }));
    const run = await project.run(["deploy"]);
    assert.equal(run.exitCode, 0, run.output);
    assert.ok((await deployed("shop"))?.hosts.includes("shop.countersign.workers.dev"));
  });

  it("what Countersign does not have is refused by name, and nothing is stored", async () => {
    const cases: [object, RegExp][] = [
      [
        { browser: { binding: "PAGE" }, services: [{ binding: "S", service: "y" }] },
        /the binding "PAGE" \(browser\) cannot be bound here/,
      ],
      [
        { kv_namespaces: [{ binding: "KV", id: "x" }] },
        /"KV" names the KV namespace "x", which was not found/,
      ],
      [{ services: [{ binding: "S", service: "nowhere" }] }, /"S" names the Worker "nowhere"/],
      [
        { mtls_certificates: [{ binding: "C", certificate_id: "b145510d-0000" }] },
        /binding "C" names the certificate "b145510d-0000"[\s\S]*\[code: 100143\]/,
      ],
      [{ compatibility_date: "2099-01-01" }, /later than 20\d\d-\d\d-\d\d, the newest/],
      [{ tail_consumers: [{ service: "tail" }] }, /tail consumers/],
    ];
    await Promise.all(
      cases.map(async ([more, expected], index) => {
        const name = `refused-${index}`;
        await using project = await wranglerProject(control, {
          ...configured(name, more),
        });
        const run = await project.run(["deploy"]);
        assert.equal(run.exitCode, 1, run.output);
        assert.match(run.stderr, expected);
        const { status } = await control.call(
          "GET",
          `/accounts/{account}/workers/services/${name}`,
        );
        assert.equal(status, 404);
      }),
    );
  });

  it("a script that throws at its start is refused with its line, mapped to the source", async () => {
    await using project = await wranglerProject(control, configured("throws"));
    control.edge.refuseNext(
      "throws",
      new Failure("metadata_invalid", {
        message: "Uncaught Error: no\n  at index.js:1:1\n",
      }),
    );
    const run = await project.run(["deploy"]);
    assert.equal(run.exitCode, 1);
    assert.match(run.stderr, /Uncaught Error: no[\s\S]*\[code: 10021\]/);
    assert.equal(await deployed("throws"), null);
  });

  it("delete removes a Worker, and asks nothing that is not answered", async () => {
    await using project = await wranglerProject(control, configured("short-lived"));
    assert.equal((await project.run(["deploy"])).exitCode, 0);
    const run = await project.run(["delete"]);
    assert.equal(run.exitCode, 0, run.output);
    assert.match(run.stdout, /Successfully deleted short-lived/);
    assert.equal(run.stderr.trim(), "");
    assert.equal(await deployed("short-lived"), null);
  });
});

function configured(name: string, more: object = {}): Record<string, object | string> {
  return {
    "wrangler.jsonc": { name, main: "index.js", compatibility_date: "2026-11-01", ...more },
    "index.js": worker,
  };
}
