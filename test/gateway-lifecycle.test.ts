import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Agent, type ServerResponse } from "node:http";
import { test, type TestContext } from "node:test";
import type { CertificateVersion } from "../src/contract/change-feed.ts";
import {
  ask,
  edgeCertificate,
  masterKey,
  testGateway,
  type TestGateway,
} from "./helpers/gateway.ts";
import { startOrigin, type TestOrigin, type TestOriginOptions } from "./helpers/origin.ts";
import { makeAuthority, type TestAuthority } from "./helpers/pki.ts";

test("a new version is presented from the next request on; what is in flight finishes on the old", async (t) => {
  const held = Promise.withResolvers<ServerResponse>();
  const { authority, gateway, origin, url } = await ready(t, {
    handler: (request, response) => {
      if (request.url === "/held") {
        response.write("begun ");
        held.resolve(response);
      } else response.end();
    },
  });
  const inFlight = ask(gateway.socket(), `${url}held`);
  const response = await held.promise;
  await rotate(gateway, authority, "CN=second", 2);
  await ask(gateway.socket(), url);
  response.end("and finished");
  assert.equal((await inFlight).text, "begun and finished");
  assert.deepEqual(origin.subjects, ["CN=client", "CN=second"]);
});

test("a broken version is refused, and the old one stays in use", async (t) => {
  const { authority, gateway, origin, url } = await ready(t);
  const other = await authority.issue({ subject: "CN=other" });
  const good = edgeCertificate(await authority.issue({ subject: "CN=second" }), { version: 2 });
  const otherKey = edgeCertificate(other, { version: 2 });
  const expired = await authority.issue({
    subject: "CN=expired",
    notBefore: new Date(Date.now() - 7_200_000),
    notAfter: new Date(Date.now() - 3_600_000),
  });
  for (const [broken, code] of [
    [{ ...good, chain: "nonsense" }, "certificate_unusable"],
    [{ ...good, sealedKey: otherKey.sealedKey }, "certificate_unusable"],
    [{ ...good, trust: ["nonsense"] }, "certificate_unusable"],
    [{ ...good, sealedId: "elsewhere" }, "sealed_record_damaged"],
    [edgeCertificate(expired, { version: 2 }), "certificate_expired"],
  ] as [CertificateVersion, string][]) {
    await assert.rejects(gateway.handle.setCertificate(broken), { code });
  }
  assert.equal((await ask(gateway.socket(), url)).status, 200);
  await gateway.handle.setCertificate(good);
  await ask(gateway.socket(), url);
  assert.deepEqual(origin.subjects, ["CN=client", "CN=second"]);
});

test("revocation cuts what is in flight and refuses what comes", async (t) => {
  const begun = Promise.withResolvers<void>();
  const { gateway, certificate, url } = await ready(t, {
    handler: () => begun.resolve(),
  });
  const inFlight = ask(gateway.socket(), url);
  await begun.promise;
  await gateway.handle.setCertificate({ ...certificate, revokedOn: "2026-11-23T00:00:00Z" });
  assert.equal((await inFlight).headers["countersign-failure"], "origin_connection_cut");
  const answer = await ask(gateway.socket(), url);
  assert.equal(answer.headers["countersign-failure"], "certificate_revoked");
});

test("a deleted certificate, and one that never existed, is reported as gone", async (t) => {
  const { gateway, url } = await ready(t);
  await ask(gateway.socket(), url);
  await gateway.handle.removeCertificate("a", "c");
  await gateway.bind({ bindingName: "OTHER", certificateId: "never" });
  for (const bindingName of ["CERT", "OTHER"]) {
    const answer = await ask(gateway.socket({ bindingName }), url);
    assert.equal(answer.headers["countersign-failure"], "certificate_gone");
  }
});

test("a connection lives no longer than its certificate", async (t) => {
  const closed = Promise.withResolvers<void>();
  const { authority, gateway, url } = await ready(t, {
    handler: (request, response) => {
      response.write("for ever");
      request.socket.once("close", () => closed.resolve());
    },
  });
  // On a busy machine the certificate may expire before it is used, so its lifetime is doubled until it works.
  for (let life = 2_000; ; life *= 2) {
    const notAfter = new Date(Date.now() + life);
    const soon = await authority.issue({ subject: "CN=soon", notAfter });
    const ended = gateway.handle
      .setCertificate(edgeCertificate(soon, { version: 2 }))
      .then(() => ask(gateway.socket(), url))
      .then(
        ({ headers }) => headers["countersign-failure"],
        (error: NodeJS.ErrnoException) => error.code,
      );
    if ((await ended) === "ECONNRESET") break;
    assert.ok(life < 20_000, String(await ended));
  }
  await closed.promise;
  const answer = await ask(gateway.socket(), url);
  assert.equal(answer.headers["countersign-failure"], "certificate_expired");
});

test("a certificate with allowed hosts is presented nowhere else", async (t) => {
  const { authority, gateway, url } = await ready(t);
  const client = await authority.issue({ subject: "CN=client" });
  await gateway.handle.setCertificate(
    edgeCertificate(client, { version: 2, allowedHosts: ["*.example.com", "localhost"] }),
  );
  assert.equal((await ask(gateway.socket(), url)).status, 200);
  for (const host of ["127.0.0.1", "example.com", "badexample.com", "localhost.evil.example"]) {
    const answer = await ask(gateway.socket(), `https://${host}/`);
    assert.equal(answer.headers["countersign-failure"], "origin_host_not_allowed", host);
  }
});

test("trust: the account's, a host's own, a certificate's own, and its change at run time", async (t) => {
  const { authority, gateway, url, certificate } = await ready(t);
  const other = await makeAuthority("Other Root");
  const outcome = async (): Promise<string> =>
    (await ask(gateway.socket(), url)).headers["countersign-failure"]?.toString() ?? "verified";
  assert.equal(await outcome(), "verified");
  await gateway.handle.setTrust("a", { authorities: [other.pem], hosts: {}, proxied: [] });
  assert.equal(await outcome(), "origin_certificate_unknown_ca");
  const hosts = { "elsewhere.example": [authority.pem] };
  await gateway.handle.setTrust("a", { authorities: [], hosts, proxied: [] });
  assert.equal(await outcome(), "origin_certificate_unknown_ca");
  await gateway.handle.setTrust("a", {
    authorities: [],
    hosts: { localhost: [authority.pem] },
    proxied: [],
  });
  assert.equal(await outcome(), "verified");
  await gateway.handle.setCertificate({ ...certificate, version: 2, trust: [other.pem] });
  assert.equal(await outcome(), "origin_certificate_unknown_ca");
  await gateway.handle.setCertificate({ ...certificate, version: 3, trust: [] });
  assert.equal(await outcome(), "origin_certificate_unknown_ca", "an empty bundle trusts nobody");
  await gateway.handle.setCertificate({ ...certificate, version: 4, trust: [authority.pem] });
  assert.equal(await outcome(), "verified");
  await assert.rejects(
    gateway.handle.setTrust("a", { authorities: ["nonsense"], hosts: {}, proxied: [] }),
    { code: "trust_unusable" },
  );
  assert.equal(await outcome(), "verified");
});

for (const useSystemRoots of [true, false]) {
  test(`the system's CAs count ${useSystemRoots ? "where asked for" : "not by themselves"}`, async (t) => {
    const authority = await makeAuthority();
    await using origin = await startOrigin({ authority });
    const directory = await mkdtemp(join(tmpdir(), "countersign-roots-"));
    const file = join(directory, "roots.pem");
    await writeFile(file, authority.pem);
    process.env["SSL_CERT_FILE"] = file;
    t.after(async () => {
      delete process.env["SSL_CERT_FILE"];
      await rm(directory, { recursive: true });
    });
    const gateway = await testGateway(t, { useSystemRoots });
    const client = await authority.issue({ subject: "CN=client" });
    await gateway.handle.setCertificate(edgeCertificate(client));
    await gateway.bind();
    const answer = await ask(gateway.socket(), `${origin.url}/`);
    assert.equal(answer.status, useSystemRoots ? 200 : 526);
  });
}

test("a changed address policy is in force for the next connection", async (t) => {
  const { gateway, url } = await ready(t);
  const denied = { allow: [], deny: ["127.0.0.0/8", "::1"], development: true, denyLocalPorts: [] };
  await gateway.handle.setAddresses(denied);
  const answer = await ask(gateway.socket(), url);
  assert.equal(answer.headers["countersign-failure"], "origin_address_refused");
});

test("closing a binding lets what is in flight end, and removes the socket", async (t) => {
  const held = Promise.withResolvers<ServerResponse>();
  const { gateway, url } = await ready(t, { handler: (_, response) => held.resolve(response) });
  // The group may use it too: only the process that the folder was made for is in the folder's group.
  assert.equal((await stat(gateway.socket())).mode & 0o777, 0o660);
  // Like workerd, which would go on to use the connection.
  const agent = new Agent({ keepAlive: true });
  t.after(() => agent.destroy());
  const inFlight = ask(gateway.socket(), url, { agent });
  const response = await held.promise;
  const closing = gateway.handle.closeBinding("CERT.sock");
  response.end("finished");
  assert.equal((await inFlight).text, "finished");
  await closing;
  assert.equal(existsSync(gateway.socket()), false);
});

test("a gateway that is killed comes back with everything it had", async (t) => {
  const { gateway, origin, url, authority } = await ready(t);
  await rotate(gateway, authority, "CN=second", 2);
  const { pid } = gateway.handle.status();
  process.kill(pid!, "SIGKILL");
  // The next call waits for the new process.
  await gateway.handle.setAddresses({ allow: [], deny: [], development: true, denyLocalPorts: [] });
  const status = gateway.handle.status();
  assert.notEqual(status.pid, pid);
  assert.deepEqual(
    [status.state, status.restarts, status.lastExit],
    ["running", 1, "killed by SIGKILL"],
  );
  assert.equal((await ask(gateway.socket(), url)).status, 200);
  assert.deepEqual(origin.subjects, ["CN=second"]);
});

test("after a restart an expired certificate is said to have expired", async (t) => {
  const { gateway, url, authority } = await ready(t);
  let end = 0;
  // On a busy machine a second may pass before the gateway has read it, so the lifetime is doubled until it works.
  for (let life = 1_500; ; life *= 2) {
    end = Date.now() + life;
    const soon = await authority.issue({ subject: "CN=soon", notAfter: new Date(end) });
    const set = gateway.handle.setCertificate(edgeCertificate(soon, { version: 2 }));
    if (
      await set.then(
        () => true,
        () => false,
      )
    )
      break;
    assert.ok(life < 20_000);
  }
  while (Date.now() <= end) await new Promise((resolve) => setTimeout(resolve, 50));
  process.kill(gateway.handle.status().pid!, "SIGKILL");
  await gateway.handle.setTrust("b", { authorities: [], hosts: {}, proxied: [] });
  const answer = await ask(gateway.socket(), url);
  assert.equal(answer.headers["countersign-failure"], "certificate_expired");
});

const withoutProc = process.platform === "linux" ? false : "there is no /proc";

test("arguments, environment and core dumps hold no key", { skip: withoutProc }, async (t) => {
  const { gateway } = await ready(t);
  const { pid } = gateway.handle.status();
  const limits = await readFile(`/proc/${pid}/limits`, "utf8");
  assert.match(limits, /^Max core file size +0 +0/m);
  for (const file of ["cmdline", "environ"]) {
    const text = await readFile(`/proc/${pid}/${file}`, "latin1");
    for (const encoding of ["latin1", "hex", "base64", "base64url"] as const) {
      assert.ok(!text.includes(masterKey.toString(encoding)), file);
    }
  }
});

test("without its supervisor the gateway ends", async () => {
  const script = `
    import { startGateway } from ${JSON.stringify(new URL("../src/gateway/start.ts", import.meta.url).href)};
    const handle = await startGateway({ runDirectory: "/", masterKey: new Uint8Array(32) });
    console.log(handle.status().pid);
  `;
  const parent = spawn(process.execPath, ["--input-type=module", "-e", script], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const [line] = (await once(parent.stdout, "data")) as [Buffer];
  const pid = Number(String(line));
  process.kill(pid, 0);
  parent.kill("SIGKILL");
  await once(parent, "exit");
  while (isRunning(pid)) await new Promise((resolve) => setTimeout(resolve, 10));
});

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

async function ready(
  t: TestContext,
  options: Partial<TestOriginOptions> = {},
): Promise<{
  authority: TestAuthority;
  gateway: TestGateway;
  origin: TestOrigin;
  url: string;
  certificate: CertificateVersion;
}> {
  const authority = await makeAuthority();
  const origin = await startOrigin({ authority, ...options });
  t.after(() => origin[Symbol.asyncDispose]());
  const gateway = await testGateway(t);
  await gateway.handle.setTrust("a", { authorities: [authority.pem], hosts: {}, proxied: [] });
  const certificate = edgeCertificate(await authority.issue({ subject: "CN=client" }));
  await gateway.handle.setCertificate(certificate);
  await gateway.bind();
  return { authority, gateway, origin, url: `${origin.url}/`, certificate };
}

async function rotate(
  gateway: TestGateway,
  authority: TestAuthority,
  subject: string,
  version: number,
): Promise<void> {
  await gateway.handle.setCertificate(
    edgeCertificate(await authority.issue({ subject }), { version }),
  );
}
