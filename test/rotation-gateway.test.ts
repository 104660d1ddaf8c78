import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import type { ServerResponse } from "node:http";
import { test } from "node:test";
import { keyPlace } from "../src/keys/places.ts";
import { Keyring } from "../src/keys/seal.ts";
import type { CertificateVersion } from "../src/contract/change-feed.ts";
import { ask, edgeCertificate, masterKey, testGateway } from "./helpers/gateway.ts";
import { startOrigin } from "./helpers/origin.ts";
import { makeAuthority, type TestCertificate } from "./helpers/pki.ts";
import { until } from "./helpers/until.ts";

test("revoking an old version cuts what still drains with it, and nothing of the new one", async (t) => {
  const authority = await makeAuthority();
  const held = new Map<string, ServerResponse>();
  await using origin = await startOrigin({
    authority,
    handler: (request, response) => {
      response.write("begun ");
      held.set(request.url ?? "", response);
    },
  });
  const gateway = await testGateway(t);
  await gateway.handle.setTrust("a", { authorities: [authority.pem], hosts: {}, proxied: [] });
  const version = async (number: number): Promise<CertificateVersion> =>
    edgeCertificate(await authority.issue({ subject: `CN=v${number}` }), { version: number });
  await gateway.handle.setCertificate(await version(1));
  await gateway.bind();
  const old = ask(gateway.socket(), `${origin.url}/old`);
  await until(() => held.has("/old"));
  const second = await version(2);
  await gateway.handle.setCertificate(second);
  const current = ask(gateway.socket(), `${origin.url}/new`);
  await until(() => held.has("/new"));
  await gateway.handle.setCertificate({ ...second, revokedVersions: [1] });
  await assert.rejects(old, "the old version's request is cut");
  held.get("/new")?.end("and finished");
  assert.equal((await current).text, "begun and finished");
  assert.deepEqual(origin.subjects, ["CN=v1", "CN=v2"]);
});

test("a CA bundle that pins a certificate counts with each CA in it, and with no other", async (t) => {
  const [one, two, other] = await Promise.all(["One", "Two", "Other"].map(makeAuthority));
  const client = await one!.issue({ subject: "CN=client" });
  const tls = { ca: [one!.pem, two!.pem, other!.pem] };
  await using second = await startOrigin({ authority: two!, tls });
  await using stranger = await startOrigin({ authority: other!, tls });
  const gateway = await testGateway(t);
  await gateway.handle.setTrust("a", { authorities: [other!.pem], hosts: {}, proxied: [] });
  const pinned = edgeCertificate(client, { trust: [one!.pem + two!.pem] });
  await gateway.handle.setCertificate(pinned);
  await gateway.bind();
  assert.equal((await ask(gateway.socket(), `${second.url}/`)).status, 200);
  assert.equal((await ask(gateway.socket(), `${stranger.url}/`)).status, 526);
  await gateway.handle.setCertificate({ ...pinned, trust: null });
  assert.equal((await ask(gateway.socket(), `${stranger.url}/`)).status, 200);
});

test("a gateway opens what a new master key sealed once it has it, and after a restart", async (t) => {
  const authority = await makeAuthority();
  await using origin = await startOrigin({ authority });
  const gateway = await testGateway(t);
  await gateway.handle.setTrust("a", { authorities: [authority.pem], hosts: {}, proxied: [] });
  const [first, next] = [new Keyring(masterKey), randomBytes(32)];
  const [one, two] = await Promise.all([
    authority.issue({ subject: "CN=one" }),
    authority.issue({ subject: "CN=two" }),
  ]);
  await gateway.handle.setCertificate(sealedWith(first, one, 1));
  await gateway.bind();
  const rotated = sealedWith(new Keyring(next), two, 2);
  await assert.rejects(gateway.handle.setCertificate(rotated), { code: "master_key_wrong" });
  assert.equal((await ask(gateway.socket(), `${origin.url}/`)).json().subject, "CN=one");
  await gateway.handle.adoptMasterKey(next);
  await gateway.handle.setCertificate(rotated);
  assert.equal((await ask(gateway.socket(), `${origin.url}/`)).json().subject, "CN=two");
  process.kill(gateway.handle.status().pid!, "SIGKILL");
  await until(async () => {
    const answer = await ask(gateway.socket(), `${origin.url}/`).catch(() => null);
    return answer?.status === 200 && answer.json().subject === "CN=two";
  });
});

function sealedWith(keyring: Keyring, leaf: TestCertificate, version: number): CertificateVersion {
  const place = keyPlace({ accountId: "a", certificateId: "c", version });
  const sealedKey = keyring.seal(place, leaf.key);
  return edgeCertificate(leaf, { version, sealedId: place.id, sealedKey });
}
