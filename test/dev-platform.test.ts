import assert from "node:assert/strict";
import { test } from "node:test";
import { makeProject } from "./helpers/dev-project.ts";
import { startOrigin } from "./helpers/origin.ts";
import { makeAuthority } from "./helpers/pki.ts";
import { startPlatform } from "./helpers/platform.ts";

test("countersign dev presents the certificate of a platform that runs, which keeps its key", async () => {
  const authority = await makeAuthority();
  await using origin = await startOrigin({ authority });
  await using platform = await startPlatform();
  const { chain, key } = await authority.issue({ subject: "CN=kept" });
  const path = "/accounts/{account}/mtls_certificates";
  await platform.api("POST", path, { ca: true, certificates: authority.pem });
  const uploaded = await platform.api("POST", path, {
    ca: false,
    certificates: chain,
    private_key: key,
    name: "kept",
  });
  const configuration = {
    name: "shop",
    main: "index.js",
    compatibility_date: "2026-11-01",
    mtls_certificates: [{ binding: "MY_CERT", certificate_id: uploaded.json.result.id }],
  };
  await using project = await makeProject({
    "wrangler.json": JSON.stringify(configuration),
    "index.js": `export default { fetch: (request, env) => env.MY_CERT.fetch("${origin.url}") };`,
  });
  await using dev = await project.with({ COUNTERSIGN_DATA: platform.dataFolder }).dev();
  const answer = await fetch(dev.url);
  assert.equal(((await answer.json()) as { subject: string }).subject, "CN=kept");
  assert.match(dev.output, /the running platform/);
});
