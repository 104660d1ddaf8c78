import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer as createService } from "node:http";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { TLSSocket } from "node:tls";
import { after, before, test } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import { follow, authorize, followTrust, secureServerOptions } from "countersign-origin/node";
import { countersign, type CliRun } from "./helpers/cli.ts";
import { makeAuthority } from "./helpers/pki.ts";
import { startPlatform, type TestPlatform } from "./helpers/platform.ts";
import { program } from "./helpers/program.ts";

/** Calls the origin with the Worker's own certificate, and returns the origin's answer. */
const CALLER = `export default {
  async fetch(request, env) {
    const { pathname } = new URL(request.url);
    const answer = await env.ME.fetch(env.ORIGIN + pathname, { method: request.headers.get("x-method") ?? "GET" });
    return new Response(await answer.text(), { status: answer.status });
  },
};`;

let platform: TestPlatform;
let origin: Server;
let url: string;
let pair: { readonly cert: string; readonly key: string };
let followed: ReturnType<typeof follow>;
const callers: (string | null)[] = [];
/** Chains of Workers' certificates, PEM, leaf first. */
const presented: string[][] = [];

before(async () => {
  platform = await startPlatform({ args: ["--dev", "--trust-domain", "example.org"] });
  const { api, accountId } = platform.ready;
  const bundle = await fetch(`${api}/accounts/${accountId}/countersign/identity/bundle.pem`);
  followed = follow({
    api,
    account: accountId,
    authorities: await bundle.text(),
    policy: "orders",
  });
  await followed.ready;
  await setPolicy([{ worker: ["a", "b", "c"], account: accountId }]);
  const authority = await makeAuthority("Origins");
  await upload(authority.pem);
  const certificate = await authority.issue({ subject: "CN=localhost", dns: ["localhost"] });
  pair = { cert: certificate.chain, key: certificate.key };
  const guard = authorize(followed.trust, { trust: followed.trust, log: () => {} });
  origin = createServer(
    { ...pair, ...secureServerOptions(followed.trust) },
    guard.handler((request, response) => {
      callers.push(request.caller?.spiffeId ?? null);
      presented.push(chainOf(request.socket as TLSSocket));
      response.end("done");
    }),
  );
  followTrust(origin, followed.trust, pair);
  origin.listen(0, "127.0.0.1");
  await once(origin, "listening");
  url = `https://localhost:${(origin.address() as AddressInfo).port}`;
  for (const name of ["a", "b", "c"]) await deploy(name);
});

after(async () => {
  origin.closeAllConnections();
  origin.close();
  await followed[Symbol.asyncDispose]();
  await platform[Symbol.asyncDispose]();
});

function chainOf(socket: TLSSocket): string[] {
  const chain: string[] = [];
  let one = socket.getPeerX509Certificate();
  while (one !== undefined && chain.length < 3) {
    chain.push(one.toString());
    one = one.issuerCertificate;
  }
  return chain;
}

async function upload(pem: string): Promise<void> {
  const body = { certificates: pem, ca: true, name: "origins" };
  assert.equal(
    (await platform.api("POST", "/accounts/{account}/mtls_certificates", body)).status,
    200,
  );
}

async function deploy(name: string, to = url): Promise<void> {
  const form = new FormData();
  const metadata = {
    main_module: "index.js",
    compatibility_date: "2026-11-01",
    bindings: [
      { type: "mtls_certificate", name: "ME", certificate_id: "identity" },
      { type: "plain_text", name: "ORIGIN", text: to },
    ],
  };
  form.set("metadata", new Blob([JSON.stringify(metadata)], { type: "application/json" }));
  form.set("index.js", new File([CALLER], "index.js", { type: "application/javascript+module" }));
  const { status, json } = await platform.api(
    "PUT",
    `/accounts/{account}/workers/scripts/${name}`,
    form,
  );
  assert.equal(status, 200, JSON.stringify(json.errors));
}

async function setPolicy(allow: object[]): Promise<void> {
  const path = "/accounts/{account}/countersign/policies/orders";
  const { status, json } = await platform.api("PUT", path, { allow });
  assert.equal(status, 200, JSON.stringify(json.errors));
}

async function change(worker: string, verb: "revoke" | "restore"): Promise<void> {
  const path = `/accounts/{account}/countersign/identities/${worker}/${verb}`;
  const { status, json } = await platform.api("POST", path, {});
  assert.equal(status, 200, JSON.stringify(json.errors));
}

/** Waits for a condition, within the second that a change may take to reach an origin. */
async function within(condition: () => Promise<boolean>): Promise<void> {
  const end = performance.now() + 15_000;
  while (!(await condition())) {
    assert.ok(performance.now() < end, "it never came true");
    await wait(20);
  }
}

function cli(...args: string[]): Promise<CliRun> {
  return countersign([...args, "--data", platform.dataFolder]);
}

test("the commands show identities and policies, and explain what a policy says", async () => {
  const listed = await cli("identity", "list");
  assert.match(
    listed.stdout,
    /^a +active .*spiffe:\/\/example\.org\/account\/[0-9a-f]+\/worker\/a$/m,
  );
  assert.match((await cli("identity", "show", "a")).stdout, /worker\/a +active\n +[0-9A-F]+ /);
  assert.match((await cli("identity", "ca", "show")).stdout, /^1 +active/m);
  assert.match((await cli("identity", "ca", "export")).stdout, /^-----BEGIN CERTIFICATE-----/);
  assert.match((await cli("policy", "list")).stdout, /^orders +1 /m);
  const yes = await cli("policy", "explain", "orders", "--worker", "a");
  assert.deepEqual([yes.status, yes.stdout.includes('lets Worker "a"')], [0, true]);
  const no = await cli("policy", "explain", "orders", "--worker", "z", "--method", "POST");
  assert.deepEqual([no.status, no.stdout.includes("caller_not_named")], [1, true]);
  assert.match((await cli("identity", "revoke", "a")).stderr, /refused by every origin/);
  assert.match((await cli("identity", "show", "nobody")).stderr, /never had an identity/);
  assert.match((await cli("policy", "set", "orders", "/dev/null")).stderr, /is not JSON/);
});

test("each Worker presents its own identity, and the origin knows which one calls", async () => {
  callers.length = 0;
  for (const name of ["b", "a"]) assert.equal((await platform.worker(name)).body, "done");
  callers.reverse();
  const id = `spiffe://example.org/account/${platform.ready.accountId}/worker`;
  assert.deepEqual(callers, [`${id}/a`, `${id}/b`]);
});

test("a policy that changes is in force at the origin within a second", async () => {
  const { accountId } = platform.ready;
  await setPolicy([{ worker: ["a", "b"], account: accountId }]);
  await within(async () => (await platform.worker("c")).status === 403);
  const refused = JSON.parse((await platform.worker("c")).body) as { error: { code: string } };
  assert.equal(refused.error.code, "caller_not_named");
  assert.equal((await platform.worker("a")).status, 200);
  await setPolicy([{ worker: ["a", "b", "c"], account: accountId }]);
  await within(async () => (await platform.worker("c")).status === 200);
});

test("a policy that is deleted lets nobody in at the origins that follow it", async () => {
  const { accountId } = platform.ready;
  assert.match((await cli("policy", "delete", "nobodys", "--yes")).stderr, /there is no policy/);
  assert.match((await cli("policy", "delete", "orders")).stderr, /will refuse every request/);
  assert.equal((await platform.worker("a")).status, 200, "it was not confirmed");
  assert.match((await cli("policy", "delete", "orders", "--yes")).stdout, /is deleted/);
  await within(async () => (await platform.worker("a")).status === 403);
  assert.match((await cli("policy", "list")).stderr, /there is no policy/);
  assert.match((await cli("audit", "list")).stdout, /policy\.delete/);
  assert.equal((await cli("audit", "verify")).status, 0);
  await setPolicy([{ worker: ["a", "b", "c"], account: accountId }]);
  await within(async () => (await platform.worker("a")).status === 200);
});

test("a sidecar that follows the platform passes on who calls, and a policy counts within a second", async () => {
  const { api, accountId } = platform.ready;
  const folder = mkdtempSync(join(tmpdir(), "countersign-sidecar-"));
  writeFileSync(join(folder, "tls.crt"), pair.cert);
  writeFileSync(join(folder, "tls.key"), pair.key);
  const service = createService((request, response) =>
    response.end(String(request.headers["x-countersign-spiffe-id"])),
  ).listen(0, "127.0.0.1");
  await once(service, "listening");
  const to = `http://127.0.0.1:${(service.address() as AddressInfo).port}`;
  const files = ["--cert", "tls.crt", "--key", "tls.key", "--listen", "127.0.0.1:0", "--to", to];
  const flags = ["--trust", api, "--account", accountId, "--policy", "orders", "--json"];
  const sidecar = spawn(process.execPath, [program, "origin", "serve", ...files, ...flags], {
    cwd: folder,
    stdio: ["ignore", "pipe", "ignore"],
  });
  try {
    const [line] = (await once(createInterface(sidecar.stdout), "line")) as [string];
    const { port } = new URL((JSON.parse(line) as { url: string }).url);
    await deploy("d", `https://localhost:${port}`);
    await setPolicy([{ worker: ["a", "b", "c", "d"], account: accountId }]);
    await within(async () => (await platform.worker("d")).status === 200);
    const id = `spiffe://example.org/account/${accountId}/worker/d`;
    assert.equal((await platform.worker("d")).body, id);
    await setPolicy([{ worker: ["a", "b", "c"], account: accountId }]);
    await within(async () => (await platform.worker("d")).status === 403);
    assert.match((await platform.worker("d")).body, /no rule names Worker \\"d\\"/);
  } finally {
    sidecar.kill("SIGKILL");
    service.close();
    rmSync(folder, { recursive: true });
  }
});

test("a revoked identity is presented no more, a new deploy does not bring it back, restore does", async () => {
  assert.equal((await platform.worker("b")).status, 200);
  await change("b", "revoke");
  assert.match((await platform.worker("b")).body, /identity_revoked/);
  await deploy("b");
  assert.match((await platform.worker("b")).body, /identity_revoked/);
  assert.equal((await platform.worker("a")).status, 200);
  await change("b", "restore");
  assert.equal((await platform.worker("b")).body, "done");
});

test("OpenSSL verifies an identity against the bundle and the lists, and finds what was revoked", async () => {
  const { api, accountId } = platform.ready;
  const published = async (name: string): Promise<string> =>
    (await fetch(`${api}/accounts/${accountId}/countersign/identity/${name}`)).text();
  assert.equal((await platform.worker("a")).body, "done");
  // A resumed session shows only the leaf; sessions of other Workers do not count.
  const [leaf] = presented.at(-1)!;
  const chain = presented.findLast((one) => one.length > 1 && one[0] === leaf)!;
  const folder = mkdtempSync(join(tmpdir(), "countersign-crl-"));
  try {
    writeFileSync(join(folder, "leaf.pem"), chain[0]!);
    writeFileSync(join(folder, "between.pem"), chain.slice(1).join(""));
    writeFileSync(join(folder, "bundle.pem"), await published("bundle.pem"));
    const verify = async (): Promise<string> => {
      writeFileSync(join(folder, "crl.pem"), await published("crl.pem"));
      const files = "-CAfile bundle.pem -untrusted between.pem -CRLfile crl.pem leaf.pem";
      const flags = ["verify", "-crl_check_all", "-purpose", "sslclient", ...files.split(" ")];
      const { stdout, stderr } = spawnSync("openssl", flags, { cwd: folder, encoding: "utf8" });
      return stdout + stderr;
    };
    assert.match(await verify(), /leaf\.pem: OK/);
    await change("a", "revoke");
    assert.match(await verify(), /certificate revoked/);
  } finally {
    await change("a", "restore");
    rmSync(folder, { recursive: true });
  }
});

test("a Worker that is deleted and made again has no identity until it is restored", async () => {
  await platform.api("DELETE", "/accounts/{account}/workers/scripts/c?force=true");
  await deploy("c");
  assert.match((await platform.worker("c")).body, /identity_deleted/);
  await change("c", "restore");
  assert.equal((await platform.worker("c")).body, "done");
});

test("the CA is exchanged without a refused request", async () => {
  const path = "/accounts/{account}/countersign/identity/authorities";
  const stop = new AbortController();
  const answers: number[] = [];
  const load = (async () => {
    while (!stop.signal.aborted) answers.push((await platform.worker("a")).status);
  })();
  const cursor = followed.cursor();
  const prepared = await platform.api("POST", `${path}/prepare`);
  assert.equal(prepared.status, 200, JSON.stringify(prepared.json.errors));
  await within(
    async () => followed.cursor() > cursor && followed.trust.state.authorities.length === 2,
  );
  const { status, json } = await platform.api("POST", `${path}/activate`);
  assert.equal(status, 200, JSON.stringify(json.errors));
  assert.equal((await platform.api("POST", `${path}/retire`, {})).status, 409);
  await within(async () => (await platform.api("POST", `${path}/retire`, {})).status === 200);
  await within(async () => followed.trust.state.authorities.length === 1);
  for (let i = 0; i < 10; i++) answers.push((await platform.worker("a")).status);
  stop.abort();
  await load;
  assert.deepEqual([...new Set(answers)], [200]);
});
