import assert from "node:assert/strict";
import { execFile, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { get } from "node:https";
import { join } from "node:path";
import { text as textOf } from "node:stream/consumers";
import { after, before, test } from "node:test";
import { promisify } from "node:util";
import { scriptForm } from "./helpers/script-form.ts";
import { trustStores } from "../src/cli/trust-stores.ts";
import { countersign } from "./helpers/cli.ts";
import { makeAuthority } from "./helpers/pki.ts";
import { startPlatform, type TestPlatform } from "./helpers/platform.ts";

const run = promisify(execFile);
let folder: string;
let platform: TestPlatform;

before(async () => {
  folder = mkdtempSync(join(tmpdir(), "trust-"));
  platform = await startPlatform({ args: ["--dev", "--https-port", "0"] });
});
after(async () => {
  await platform[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true });
});

function cli(...args: string[]) {
  return countersign(["trust", ...args, "--data", platform.dataFolder], { env: { HOME: folder } });
}

test("curl reaches https://localhost with the CA that trust prints, and not without it", async () => {
  const { status, stdout } = await cli("--print");
  assert.equal(status, 0);
  const file = join(folder, "ca.pem");
  writeFileSync(file, stdout);
  const port = new URL(platform.ready.https!).port;
  const curl = (...args: string[]) =>
    run("curl", ["-s", "-o", join(folder, "answer"), ...args, `https://localhost:${port}/`]);
  await curl("--cacert", file);
  await assert.rejects(curl(), { code: 60 });
});

test("curl and Node reach a Worker at its own name, for which no wildcard would do", async () => {
  const { api, accountId, token, https } = platform.ready;
  const form = scriptForm(
    { compatibility_date: "2026-11-01" },
    {
      "index.js": [
        "application/javascript+module",
        "export default { fetch: ({ cf }) => new Response(cf.tlsClientAuth.certVerified) };",
      ],
    },
  );
  const put = `${api}/accounts/${accountId}/workers/scripts/named`;
  await fetch(put, { method: "PUT", headers: { authorization: `Bearer ${token}` }, body: form });
  const pem = (await cli("--print")).stdout;
  const file = join(folder, "named-ca.pem");
  writeFileSync(file, pem);
  const { port } = new URL(https!);
  const ask = async (host: string, ...args: string[]): Promise<string> => {
    const to = ["--resolve", `${host}:${port}:127.0.0.1`, `https://${host}:${port}/`];
    return (await run("curl", ["-sS", "--cacert", file, ...args, ...to])).stdout;
  };
  assert.equal(await ask("named.localhost"), "NONE");
  const answer = await new Promise<string>((resolve, reject) => {
    const host = "named.localhost";
    const options = { host: "127.0.0.1", port, servername: host, ca: pem, agent: false };
    get({ ...options, headers: { host: `${host}:${port}` } }, (response) => {
      textOf(response).then(resolve, reject);
    }).on("error", reject);
  });
  assert.equal(answer, "NONE");
  // A host that asks for certificates uses another server, but presents the same certificate.
  const asks = ["host", "clients", "named.localhost", "optional", "--ca", "managed"];
  const { status, stderr } = await countersign([...asks, "--data", platform.dataFolder]);
  assert.equal(status, 0, stderr);
  assert.equal(await ask("named.localhost", "--http1.1"), "NONE");
  const { subdomain } = (await platform.api("GET", "/accounts/{account}/workers/subdomain")).json
    .result;
  assert.equal(await ask(`named.${subdomain}.localhost`), "NONE");
  const shown = await countersign([
    "host",
    "show",
    "named.localhost",
    "--data",
    platform.dataFolder,
  ]);
  assert.match(shown.stdout, /workers +named \(named\.localhost\)/);
  // For a host that nothing answers no certificate is signed, so only the wildcard is presented.
  await assert.rejects(ask("nobody.localhost"), { code: 60 });
});

const hasCertutil = spawnSync("certutil", ["-H"]).error === undefined;
test(
  "Chromium's store trusts the CA for web servers alone, and no more once it is taken out",
  { skip: !hasCertutil && "there is no certutil (libnss3-tools)" },
  async () => {
    const none = await cli("--only", "chromium");
    assert.notEqual(none.status, 0);
    assert.match(none.stderr, /Chromium was not started yet/);
    const store = join(folder, ".pki", "nssdb");
    mkdirSync(store, { recursive: true });
    await run("certutil", ["-d", `sql:${store}`, "-N", "--empty-password"]);
    const listed = async () => (await run("certutil", ["-d", `sql:${store}`, "-L"])).stdout;
    assert.equal((await cli("--only", "chromium")).status, 0);
    assert.match(await listed(), /Countersign local CA [0-9a-f]{16} +C,,/);
    const again = await cli("--only", "chromium");
    assert.equal(again.status, 0, again.stderr);
    assert.match((await cli("--only", "chromium", "--remove")).stdout, /took out 1/);
    assert.doesNotMatch(await listed(), /Countersign/);
  },
);

const hasUpdate = spawnSync("update-ca-certificates", ["--help"]).error === undefined;
test(
  "the system's store has the CA where OpenSSL looks, and others stay when it is taken out",
  { skip: !hasUpdate && "there is no update-ca-certificates (Debian's ca-certificates)" },
  async () => {
    // The real tool on separate folders: the machine's own store is not changed.
    const [local, etc, none] = ["local", "etc", "none"].map((name) => join(folder, name));
    for (const path of [local!, etc!, none!]) mkdirSync(path);
    const systemArguments = ["--certsdir", none!, "--localcertsdir", local!, "--etccertsdir", etc!];
    systemArguments.push("--hooksdir", none!);
    const [store] = trustStores({ env: process.env, systemFolder: local!, systemArguments });
    const [own, other] = [await makeAuthority("Own"), await makeAuthority("Other")];
    const leaf = join(folder, "leaf.pem");
    writeFileSync(join(local!, "other.crt"), other.pem);
    writeFileSync(leaf, (await own.issue({ subject: "CN=x" })).pem);
    const verify = () => run("openssl", ["verify", "-no-CAfile", "-CApath", etc!, leaf]);
    await assert.rejects(verify());
    await store!.add(own.pem);
    await verify();
    assert.equal(await store!.remove(), 1);
    await assert.rejects(verify());
    assert.deepEqual(readdirSync(local!), ["other.crt"]);
  },
);
