import assert from "node:assert/strict";
import { createServer, type AddressInfo } from "node:net";
import { test, type TestContext } from "node:test";
import { ask, edgeCertificate, testGateway, type TestGateway } from "./helpers/gateway.ts";
import { withoutOpenssl } from "./helpers/openssl-server.ts";
import { startOrigin } from "./helpers/origin.ts";
import { makeAuthority, type TestAuthority } from "./helpers/pki.ts";

test("a handshake test tells every step", { skip: withoutOpenssl }, async (t) => {
  const { authority, gateway } = await ready(t);
  await using origin = await startOrigin({ authority });
  const report = await gateway.handle.testHandshake("a", "c", `${origin.url}/any/path`);
  assert.equal(report.address, "127.0.0.1");
  assert.equal(report.origin, origin.url);
  assert.deepEqual(
    [report.tls?.version, report.tls?.cipher, report.tls?.protocol, report.tls?.asked],
    ["TLSv1.3", "TLS_AES_256_GCM_SHA384", "http/1.1", true],
  );
  assert.deepEqual(
    report.presented.map(({ subject }) => subject),
    ["CN=client"],
  );
  assert.deepEqual(
    report.originChain.map(({ subject }) => subject),
    ["CN=localhost", "CN=Test Root CA"],
  );
  assert.deepEqual(report.acceptedAuthorities, ["CN=Test Root CA"]);
  assert.equal(report.verdict.ok, true);
});

test("a handshake test says that no certificate was asked for", async (t) => {
  const { authority, gateway } = await ready(t);
  await using origin = await startOrigin({ authority, tls: { requestCert: false } });
  const report = await gateway.handle.testHandshake("a", "c", origin.url);
  assert.equal(report.tls?.asked, false);
  assert.match(report.verdict.message, /asked for no certificate/);
});

test(
  "a handshake test says why a certificate was refused, and what would be accepted",
  { skip: withoutOpenssl },
  async (t) => {
    const { authority, gateway } = await ready(t);
    const other = await makeAuthority("Other Root");
    await using origin = await startOrigin({ authority, tls: { ca: other.pem } });
    const report = await gateway.handle.testHandshake("a", "c", origin.url);
    assert.ok(!report.verdict.ok);
    assert.equal(report.verdict.code, "origin_closed_first_read");
    assert.deepEqual(report.acceptedAuthorities, ["CN=Other Root"]);
  },
);

test("a handshake test that does not get far says how far", async (t) => {
  const { gateway } = await ready(t);
  const server = createServer((socket) => socket.destroy());
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => server.close());
  const { port } = server.address() as AddressInfo;
  const report = await gateway.handle.testHandshake("a", "c", `https://localhost:${port}`);
  assert.ok(!report.verdict.ok);
  assert.equal(report.verdict.code, "origin_handshake_reset");
  assert.equal(report.tls, null);
  await assert.rejects(gateway.handle.testHandshake("a", "c", "http://localhost/"), {
    code: "origin_http_refused",
  });
  await assert.rejects(gateway.handle.testHandshake("a", "none", "https://localhost/"), {
    code: "certificate_gone",
  });
});

test("metrics count requests, failures, handshakes and connections, and name fingerprints", async (t) => {
  const { authority, gateway, fingerprint } = await ready(t);
  await using origin = await startOrigin({ authority });
  await ask(gateway.socket(), `${origin.url}/`);
  await ask(gateway.socket(), `${origin.url}/`);
  await ask(gateway.socket(), "http://localhost/");
  const response = await fetch(`http://127.0.0.1:${gateway.handle.metricsPort()}/metrics`);
  const text = await response.text();
  const labels = 'account="a",script="worker",binding="CERT"';
  for (const line of [
    `countersign_requests_total{${labels},status="2xx"} 2`,
    `countersign_failures_total{${labels},code="origin_http_refused"} 1`,
    `countersign_handshakes_total{result="full"} 1`,
    `countersign_request_seconds_count{${labels}} 2`,
    `countersign_connections{account="a",certificate="c",version="1",fingerprint="${fingerprint}"} 1`,
  ]) {
    assert.ok(text.includes(`${line}\n`), `${line}\n\n${text}`);
  }
  assert.match(
    text,
    new RegExp(
      `countersign_certificate_expiry_timestamp_seconds\\{.*fingerprint="${fingerprint}"\\} \\d+`,
    ),
  );
  assert.doesNotMatch(text, /PRIVATE KEY/);
});

test("events tell the last handshake and the last failure of a certificate", async (t) => {
  const { authority, gateway } = await ready(t);
  await using origin = await startOrigin({ authority });
  await ask(gateway.socket(), `${origin.url}/`);
  await ask(gateway.socket(), "https://nothing.invalid/");
  while (gateway.events.length < 2) await new Promise((resolve) => setTimeout(resolve, 20));
  const [handshake, failure] = gateway.events.toSorted((a, b) => b.kind.localeCompare(a.kind));
  assert.ok(handshake?.kind === "handshake" && failure?.kind === "failure");
  assert.deepEqual(
    [handshake.certificateId, handshake.version, handshake.origin, handshake.asked],
    ["c", 1, origin.url, true],
  );
  assert.deepEqual(
    [failure.certificateId, failure.origin, failure.code],
    ["c", "https://nothing.invalid", "origin_name_not_found"],
  );
});

async function ready(
  t: TestContext,
): Promise<{ authority: TestAuthority; gateway: TestGateway; fingerprint: string }> {
  const authority = await makeAuthority();
  const gateway = await testGateway(t, { metricsPort: 0 });
  await gateway.handle.setTrust("a", { authorities: [authority.pem], hosts: {}, proxied: [] });
  const certificate = await authority.issue({ subject: "CN=client" });
  await gateway.handle.setCertificate(edgeCertificate(certificate));
  await gateway.bind();
  const thumbprint = await certificate.x509.getThumbprint("SHA-256");
  return { authority, gateway, fingerprint: Buffer.from(thumbprint).toString("hex") };
}
