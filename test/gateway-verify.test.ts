import assert from "node:assert/strict";
import { connect, createServer as createTcpServer, type AddressInfo } from "node:net";
import { test, type TestContext } from "node:test";
import { createServer, type SecureVersion } from "node:tls";
import { ask, edgeCertificate, testGateway, type Answer } from "./helpers/gateway.ts";
import { makeAuthority, type TestAuthority, type TestCertificate } from "./helpers/pki.ts";

for (const version of ["TLSv1.2", "TLSv1.3"] as const) {
  test(`on ${version} a server that is not trusted never sees the certificate`, async (t) => {
    const trusted = await makeAuthority();
    const stranger = await makeAuthority("Stranger");
    const server = await stranger.issue({ subject: "CN=localhost", dns: ["localhost"] });
    const { answer, seen } = await fetchFrom(t, { trusted, server, version });
    assert.equal(answer.headers["countersign-failure"], "origin_certificate_unknown_ca");
    assert.deepEqual(seen, { certificates: [], inClear: false });
  });

  test(`on ${version} a server with another name never sees the certificate`, async (t) => {
    const trusted = await makeAuthority();
    const server = await trusted.issue({ subject: "CN=localhost", dns: ["elsewhere.example"] });
    const { answer, seen } = await fetchFrom(t, { trusted, server, version });
    assert.equal(answer.headers["countersign-failure"], "origin_certificate_wrong_name");
    assert.deepEqual(seen, { certificates: [], inClear: false });
  });

  test(`on ${version} a verified server does see it, so that the watch works`, async (t) => {
    const trusted = await makeAuthority();
    const server = await trusted.issue({ subject: "CN=localhost", dns: ["localhost"] });
    const { answer, seen } = await fetchFrom(t, { trusted, server, version });
    assert.equal(answer.status, 200);
    assert.deepEqual(seen, {
      certificates: ["CN=watched-client"],
      inClear: version === "TLSv1.2",
    });
  });
}

test("each new connection is judged: a server that turns bad sees nothing", async (t) => {
  const trusted = await makeAuthority();
  const stranger = await makeAuthority("Stranger");
  const good = await trusted.issue({ subject: "CN=localhost", dns: ["localhost"] });
  const bad = await stranger.issue({ subject: "CN=localhost", dns: ["localhost"] });
  const watched = await watch(t, good, "TLSv1.2");
  const gateway = await ready(t, trusted);
  const url = `https://localhost:${watched.port}/`;
  assert.equal((await ask(gateway, url)).status, 200);
  watched.replace(bad);
  const answer = await ask(gateway, url);
  assert.equal(answer.headers["countersign-failure"], "origin_certificate_unknown_ca");
  assert.deepEqual(watched.seen.certificates, ["CN=watched-client"]);
});

interface Seen {
  /** Subjects of the certificates that the server received. */
  readonly certificates: string[];
  /** Whether the certificate's subject crossed the wire in clear, as in TLS 1.2. */
  inClear: boolean;
}

async function fetchFrom(
  t: TestContext,
  options: { trusted: TestAuthority; server: TestCertificate; version: SecureVersion },
): Promise<{ answer: Answer; seen: Seen }> {
  const watched = await watch(t, options.server, options.version);
  const gateway = await ready(t, options.trusted);
  const answer = await ask(gateway, `https://localhost:${watched.port}/`);
  await watched.closed();
  return { answer, seen: watched.seen };
}

/** A gateway that trusts one CA. Returns its binding's socket. */
async function ready(t: TestContext, trusted: TestAuthority): Promise<string> {
  const gateway = await testGateway(t, { resumption: false });
  await gateway.handle.setTrust("a", { authorities: [trusted.pem], hosts: {}, proxied: [] });
  await gateway.handle.setCertificate(
    edgeCertificate(await trusted.issue({ subject: "CN=watched-client" })),
  );
  await gateway.bind();
  return gateway.socket();
}

/** A server that asks for a certificate and accepts any, with a tap on the wire in front of it. */
async function watch(
  t: TestContext,
  certificate: TestCertificate,
  version: SecureVersion,
): Promise<{
  port: number;
  seen: Seen;
  replace(other: TestCertificate): void;
  closed(): Promise<void>;
}> {
  const seen: Seen = { certificates: [], inClear: false };
  const server = createServer(
    {
      key: certificate.key,
      cert: certificate.chain,
      minVersion: version,
      maxVersion: version,
      requestCert: true,
      rejectUnauthorized: false,
    },
    (socket) => {
      seen.certificates.push(socket.getPeerX509Certificate()?.subject ?? "none");
      socket.on("error", () => {});
      socket.once("data", () => {
        socket.end("HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
      });
    },
  );
  server.on("tlsClientError", () => {});
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const closed: Promise<void>[] = [];
  const tap = createTcpServer((client) => {
    let sent = Buffer.alloc(0);
    const upstream = connect((server.address() as AddressInfo).port, "127.0.0.1");
    client.on("data", (chunk: Buffer) => {
      sent = Buffer.concat([sent, chunk]);
      seen.inClear ||= sent.includes("watched-client");
    });
    client.on("error", () => upstream.destroy()).pipe(upstream);
    upstream.on("error", () => client.destroy()).pipe(client);
    closed.push(new Promise((resolve) => client.once("close", () => resolve())));
  });
  await new Promise<void>((resolve) => tap.listen(0, "127.0.0.1", resolve));
  t.after(() => {
    tap.close();
    server.close();
  });
  return {
    port: (tap.address() as AddressInfo).port,
    seen,
    replace: (other) =>
      server.setSecureContext({
        key: other.key,
        cert: other.chain,
        minVersion: version,
        maxVersion: version,
      }),
    closed: async () => void (await Promise.all(closed)),
  };
}
