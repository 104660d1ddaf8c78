import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { connect } from "node:net";
import { test, type TestContext } from "node:test";
import { createSecureContext, createServer, type Server } from "node:tls";
import * as fc from "fast-check";
import { Failure } from "../src/failures/failures.ts";
import { handshake } from "../src/gateway/origin/handshake.ts";
import { ask, edgeCertificate, testGateway } from "./helpers/gateway.ts";
import { mutate, type Mutation } from "./helpers/mutate.ts";
import { startOrigin } from "./helpers/origin.ts";
import { makeAuthority, type TestCertificate } from "./helpers/pki.ts";

test("an origin whose certificate has no subject, and is refused, fails its own request alone", async (t) => {
  const trusted = await makeAuthority();
  const stranger = await makeAuthority("Stranger");
  const gateway = await testGateway(t, {});
  await gateway.handle.setTrust("a", { authorities: [trusted.pem], hosts: {}, proxied: [] });
  await gateway.handle.setCertificate(edgeCertificate(await trusted.issue({ subject: "CN=me" })));
  await gateway.bind();
  const good = await tlsServer(t, await trusted.issue({ subject: "", dns: ["localhost"] }));
  const waiting = ask(gateway.socket(), `https://localhost:${good}/slow`);
  const cases = [
    [await stranger.issue({ subject: "", dns: ["localhost"] }), "origin_certificate_unknown_ca"],
    [await trusted.issue({ subject: "", dns: ["else.example"] }), "origin_certificate_wrong_name"],
    [await trusted.issue({ subject: "" }), "origin_certificate_wrong_name"],
  ] as const;
  for (const [certificate, code] of cases) {
    const answer = await ask(
      gateway.socket(),
      `https://localhost:${await tlsServer(t, certificate)}/`,
    );
    assert.equal(answer.headers["countersign-failure"], code);
  }
  assert.equal((await waiting).status, 200);
});

test("a client certificate without a subject, as SPIFFE and cert-manager issue, is presented", async (t) => {
  const authority = await makeAuthority();
  await using origin = await startOrigin({ authority });
  const gateway = await testGateway(t, {});
  await gateway.handle.setTrust("a", { authorities: [authority.pem], hosts: {}, proxied: [] });
  const client = await authority.issue({ subject: "", uris: ["spiffe://example.org/client"] });
  await gateway.handle.setCertificate(edgeCertificate(client));
  await gateway.bind();
  const answer = await ask(gateway.socket(), `${origin.url}/`);
  assert.equal(answer.status, 200, answer.text);
});

test("whatever bytes an origin's certificate has, the handshake ends with a failure of the table", async (t) => {
  const authority = await makeAuthority();
  const server = await authority.issue({ subject: "CN=localhost", dns: ["localhost"] });
  const der = new X509Certificate(server.pem).raw;
  const context = createSecureContext({ ca: authority.pem });
  let current: TestCertificate = server;
  const listening = createServer({ SNICallback: (_, done) => done(null, contextOf(current)) });
  listening.on("tlsClientError", () => {}).on("secureConnection", (s) => s.on("error", () => {}));
  const port = await listen(t, listening);
  const mutation: fc.Arbitrary<Mutation> = fc.record({
    kind: fc.constantFrom("flip", "set"),
    at: fc.nat(der.length),
    value: fc.nat(255),
  });
  let tried = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(mutation, { minLength: 1, maxLength: 3 }), async (changes) => {
      const bytes = mutate(der, changes);
      const pem = `-----BEGIN CERTIFICATE-----\n${bytes.toString("base64")}\n-----END CERTIFICATE-----\n`;
      current = { ...server, chain: pem };
      try {
        contextOf(current);
      } catch {
        return;
      }
      tried += 1;
      const socket = connect(port, "127.0.0.1");
      await once(socket, "connect");
      const result = await handshake(socket, {
        destination: { host: "localhost", port },
        context,
        presented: null,
        protocols: [],
        timeout: 5000,
      }).catch((error: unknown) => error);
      if (result instanceof Error) assert.ok(result instanceof Failure, String(result));
      socket.destroy();
    }),
    { numRuns: 300 },
  );
  assert.ok(tried > 50, `${tried} certificates could be served`);
});

function contextOf({ chain, key }: TestCertificate): ReturnType<typeof createSecureContext> {
  return createSecureContext({ cert: chain, key });
}

async function tlsServer(t: TestContext, { chain, key }: TestCertificate): Promise<number> {
  const server = createServer({ cert: chain, key, requestCert: true, rejectUnauthorized: false });
  server.on("tlsClientError", () => {});
  server.on("secureConnection", (socket) => {
    socket.on("error", () => {});
    socket.once("data", (head: Buffer) => {
      const wait = head.includes("/slow") ? 500 : 0;
      setTimeout(() => socket.end("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"), wait);
    });
  });
  return await listen(t, server);
}

async function listen(t: TestContext, server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => server.close());
  return (server.address() as AddressInfo).port;
}
