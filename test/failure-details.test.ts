import assert from "node:assert/strict";
import { test } from "node:test";
import { makeAuthority } from "./helpers/pki.ts";
import { startPlatform } from "./helpers/platform.ts";
import { scriptForm } from "./helpers/script-form.ts";
import { until } from "./helpers/until.ts";

for (const { args, name, shows } of [
  { args: [], name: "strangers see a failure's code and ray, the log says it all", shows: false },
  { args: ["--dev"], name: "with --dev, a failure's body says it all", shows: true },
]) {
  test(name, async () => {
    await using platform = await startPlatform({ args });
    const client = await (await makeAuthority()).issue({ subject: "CN=client" });
    const { json } = await platform.api("POST", "/accounts/{account}/mtls_certificates", {
      certificates: client.chain,
      private_key: client.key,
      ca: false,
    });
    const put = await platform.api(
      "PUT",
      "/accounts/{account}/workers/scripts/hands-on",
      scriptForm(
        {
          main_module: "index.js",
          compatibility_date: "2026-11-01",
          bindings: [{ type: "mtls_certificate", name: "CERT", certificate_id: json.result.id }],
        },
        {
          "index.js": [
            "application/javascript+module",
            `export default { fetch: (request, env) => env.CERT.fetch("https://secret-host.invalid/", request) }`,
          ],
        },
      ),
    );
    assert.equal(put.status, 200, JSON.stringify(put.json));
    const { status, headers, body } = await platform.worker("hands-on");
    assert.equal(headers["countersign-failure"], "origin_name_not_found", body);
    assert.equal(status, 523);
    const { error } = JSON.parse(body) as { error: Record<string, unknown> };
    assert.equal(body.includes("secret-host"), shows);
    assert.equal(error["ray"], headers["cf-ray"], "the ray is the one that the client got");
    const logged = new RegExp(`.*${String(error["ray"])}.*`);
    await until(() => logged.test(platform.log()));
    assert.match(logged.exec(platform.log())![0], /secret-host/);
  });
}
