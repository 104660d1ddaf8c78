import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { promisify } from "node:util";
import { countersign } from "./helpers/cli.ts";
import { makeAuthority } from "./helpers/pki.ts";
import { startPlatform, type TestPlatform } from "./helpers/platform.ts";
import { scriptForm } from "./helpers/script-form.ts";

describe("a platform that was started as its users start it", () => {
  let platform: TestPlatform;
  before(async () => {
    platform = await startPlatform({ args: ["--dev", "--connection-life", "1"] });
  });
  after(() => platform[Symbol.asyncDispose]());

  it("`new Cloudflare()` with nothing but what `countersign env` prints reaches it", async () => {
    const { stdout } = await countersign(["env", "--data", platform.dataFolder]);
    const exported = [...stdout.matchAll(/^export (\w+)='(.*)'$/gm)].map(([, k, v]) => [k!, v!]);
    assert.ok(exported.length >= 4, stdout);
    const code = `
      import Cloudflare from "cloudflare";
      const account_id = process.env.CLOUDFLARE_ACCOUNT_ID;
      const client = new Cloudflare();
      const { status } = await client.accounts.tokens.verify({ account_id });
      const scripts = await client.workers.scripts.list({ account_id });
      console.log(JSON.stringify({ status, scripts: scripts.result.length, base: client.baseURL }));`;
    const { stdout: said } = await promisify(execFile)(
      process.execPath,
      ["--input-type=module", "-e", code],
      { cwd: join(import.meta.dirname, ".."), env: Object.fromEntries(exported) },
    );
    const base = platform.ready.api;
    assert.deepEqual(JSON.parse(said), { status: "active", scripts: 0, base });
  });

  it("a busy origin's connection is left for a new one after --connection-life", async (t) => {
    const authority = await makeAuthority();
    const [server, client] = [
      await authority.issue({ subject: "CN=localhost", dns: ["localhost"] }),
      await authority.issue({ subject: "CN=client" }),
    ];
    const connections = new Set<unknown>();
    const origin = createServer({ cert: server.chain, key: server.key }, (_, r) => r.end("ok"));
    origin.on("secureConnection", (socket) => connections.add(socket));
    await new Promise<void>((resolve) => origin.listen(0, "127.0.0.1", resolve));
    t.after(() => {
      origin.close();
      origin.closeAllConnections();
    });
    const certificates = "/accounts/{account}/mtls_certificates";
    await platform.api("POST", certificates, { certificates: authority.pem, ca: true });
    const body = { certificates: client.chain, private_key: client.key, ca: false };
    const { json } = await platform.api("POST", certificates, body);
    const bindings = [{ type: "mtls_certificate", name: "CERT", certificate_id: json.result.id }];
    const url = `https://localhost:${(origin.address() as AddressInfo).port}/`;
    const form = scriptForm(
      { bindings, compatibility_date: "2026-11-01" },
      {
        "index.js": [
          "application/javascript+module",
          `export default { fetch: (_, env) => env.CERT.fetch("${url}") };`,
        ],
      },
    );
    await platform.api("PUT", "/accounts/{account}/workers/scripts/busy", form);
    const began = Date.now();
    let asked = 0;
    while (connections.size < 3 && Date.now() - began < 30_000) {
      assert.equal((await platform.worker("busy")).body, "ok");
      asked += 1;
    }
    assert.ok(
      connections.size >= 3 && asked > 3,
      `${connections.size} connections for ${asked} requests`,
    );
    assert.ok(Date.now() - began > 1_500, "one connection serves for about a second");
  });

  it("a life that is no whole number from 1 to 86400 is refused", async () => {
    for (const life of ["0", "1.5", "ten", "86401"]) {
      const { status, stderr } = await countersign(["start", "--connection-life", life]);
      assert.equal(status, 2);
      assert.match(stderr, /--connection-life .* is not a whole number from 1 to 86400/);
    }
  });
});
