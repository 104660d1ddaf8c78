import assert from "node:assert/strict";
import { connect, createServer as createFront, type AddressInfo } from "node:net";
import { test, type TestContext } from "node:test";
import { createServer, type TlsOptions } from "node:tls";
import { ask, edgeCertificate, testGateway, type Answer } from "./helpers/gateway.ts";
import { issuedBy, makeAuthority, selfSigned, type TestCertificate } from "./helpers/pki.ts";

test("an intermediate that was uploaded as a CA is a trust anchor", async (t) => {
  const issuing = await (await makeAuthority("Root of somebody else")).intermediate("Issuing");
  const server = await issuing.issue({ subject: "CN=localhost", dns: ["localhost"] });
  assert.equal((await answerOf(t, { server, trusted: issuing.pem })).status, 200);
});

test("an intermediate counts for what it issued, and for nothing its root issued besides", async (t) => {
  const root = await makeAuthority("Root of somebody else");
  const issuing = await root.intermediate("Issuing");
  const server = await root.issue({ subject: "CN=localhost", dns: ["localhost"] });
  const answer = await answerOf(t, { server, trusted: issuing.pem });
  assert.equal(answer.headers["countersign-failure"], "origin_certificate_unknown_ca");
});

test("a self-signed origin that was uploaded, as its failure advises, is trusted as itself", async (t) => {
  const server = await selfSigned("localhost");
  const stranger = await makeAuthority("Stranger");
  const refused = await answerOf(t, { server, trusted: stranger.pem });
  assert.equal(refused.headers["countersign-failure"], "origin_certificate_self_signed");
  assert.equal((await answerOf(t, { server, trusted: server.pem })).status, 200);
});

test("what a self-signed origin that is no CA issues is not trusted", async (t) => {
  const trusted = await selfSigned("localhost");
  const { keys } = trusted;
  const server = await issuedBy({ certificate: trusted.x509, keys }, "localhost");
  const answer = await answerOf(t, { server, trusted: trusted.pem });
  assert.equal(answer.headers["countersign-failure"], "origin_certificate_invalid");
});

for (const maxVersion of ["TLSv1.2", "TLSv1.3"] as const) {
  test(`on ${maxVersion} an origin that closes on our certificate is told as one that refuses it`, async (t) => {
    const authority = await makeAuthority();
    const server = await authority.issue({ subject: "CN=localhost", dns: ["localhost"] });
    const accepted = await makeAuthority("Another");
    const tls = { maxVersion, requestCert: true, rejectUnauthorized: true, ca: accepted.pem };
    const answer = await answerOf(t, { server, trusted: authority.pem, tls });
    assert.equal(answer.headers["countersign-failure"], "origin_closed_first_read");
  });
}

test("an origin that refuses the session it handed out is met without, with a POST too", async (t) => {
  const authority = await makeAuthority();
  const server = await authority.issue({ subject: "CN=localhost", dns: ["localhost"] });
  const { port, seen } = await refusingSessions(t, await serve(t, server, {}));
  const gateway = await gatewayTrusting(t, authority.pem);
  for (let count = 0; count < 4; count += 1) {
    const answer = await ask(gateway, `https://localhost:${port}/`, { method: "POST", body: "x" });
    assert.equal(answer.status, 200, answer.text);
  }
  assert.deepEqual(seen, { connections: 5, refused: 1 });
});

/**
 * A proxy in front of a server: it closes a connection whose first message contains a ticket, which makes the message
 * longer.
 */
async function refusingSessions(
  t: TestContext,
  behind: number,
): Promise<{ port: number; seen: { connections: number; refused: number } }> {
  const seen = { connections: 0, refused: 0 };
  let usual = 0;
  const front = createFront((client) => {
    seen.connections += 1;
    client.on("error", () => {});
    client.once("data", (hello: Buffer) => {
      usual ||= hello.length;
      if (hello.length > usual + 100) {
        seen.refused += 1;
        client.destroy();
        return;
      }
      const upstream = connect(behind, "127.0.0.1");
      upstream.on("error", () => client.destroy());
      upstream.write(hello);
      client.pipe(upstream).pipe(client);
    });
  });
  await new Promise<void>((resolve) => front.listen(0, "127.0.0.1", resolve));
  t.after(() => front.close());
  return { port: (front.address() as AddressInfo).port, seen };
}

async function answerOf(
  t: TestContext,
  { server, trusted, tls = {} }: { server: TestCertificate; trusted: string; tls?: TlsOptions },
): Promise<Answer> {
  const port = await serve(t, server, tls);
  return await ask(await gatewayTrusting(t, trusted), `https://localhost:${port}/`);
}

/** The socket of a binding. */
async function gatewayTrusting(t: TestContext, authority: string): Promise<string> {
  const gateway = await testGateway(t, {});
  await gateway.handle.setTrust("a", { authorities: [authority], hosts: {}, proxied: [] });
  const client = await (await makeAuthority("Clients")).issue({ subject: "CN=client" });
  await gateway.handle.setCertificate(edgeCertificate(client));
  await gateway.bind();
  return gateway.socket();
}

/** A server that answers one request on each connection. */
async function serve(
  t: TestContext,
  { chain, key }: TestCertificate,
  options: TlsOptions,
): Promise<number> {
  const server = createServer({ cert: chain, key, ...options });
  server.on("tlsClientError", () => {});
  server.on("secureConnection", (socket) => {
    socket.on("error", () => {});
    socket.once("data", () =>
      socket.end("HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"),
    );
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => server.close());
  return (server.address() as AddressInfo).port;
}
