import assert from "node:assert/strict";
import { mkdtempDisposable } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { makeProject } from "./helpers/dev-project.ts";
import { startOrigin } from "./helpers/origin.ts";
import { makeAuthority } from "./helpers/pki.ts";
import { startPlatform } from "./helpers/platform.ts";
import { until } from "./helpers/until.ts";

test("countersign dev presents the certificate of a platform that runs, which keeps its key, and of the next one", async () => {
  const authority = await makeAuthority();
  await using origin = await startOrigin({ authority });
  await using folder = await mkdtempDisposable(join(tmpdir(), "countersign-test-"));
  await using platform = await startPlatform({ dataFolder: folder.path });
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

  await platform.end("SIGTERM");
  await dev.says(/MY_CERT presents CN=MY_CERT.*the development CA/);
  const { token } = platform.ready;
  await using _next = await startPlatform({ dataFolder: folder.path, token });
  await until(() => dev.output.match(/MY_CERT presents CN=kept/g)?.length === 2);
  const again = await fetch(dev.url);
  assert.equal(((await again.json()) as { subject: string }).subject, "CN=kept");
});

test("countersign dev says that it waits for a platform which does not answer", async () => {
  await using platform = await startPlatform();
  platform.process.kill("SIGSTOP");
  try {
    await using project = await makeProject({
      "wrangler.json": JSON.stringify({
        name: "shop",
        main: "index.js",
        compatibility_date: "2026-11-01",
        mtls_certificates: [{ binding: "MY_CERT", certificate_id: "none" }],
      }),
      "index.js": "export default { fetch() {} };",
    });
    await using dev = project.with({ COUNTERSIGN_DATA: platform.dataFolder }).run("dev");
    await dev.says(/waiting for the platform of/);
  } finally {
    platform.process.kill("SIGCONT");
  }
});
