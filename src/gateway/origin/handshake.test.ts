import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, type AddressInfo, type Socket } from "node:net";
import { test, type TestContext } from "node:test";
import {
  createSecureContext,
  createServer,
  TLSSocket,
  type SecureContext,
  type SecureVersion,
  type Server,
} from "node:tls";
import { makeAuthority, type TestCertificate } from "../../../test/helpers/pki.ts";
import { handshake, type HandshakeOptions } from "./handshake.ts";

for (const version of ["TLSv1.2", "TLSv1.3"] as const) {
  test(`on ${version} an origin that is reached by an address is judged by it`, async (t) => {
    const { authority, context } = await client();
    const named = await authority.issue({ subject: "CN=localhost", dns: ["localhost"] });
    const addressed = await authority.issue({ subject: "CN=localhost", ips: ["127.0.0.1"] });
    const wrong = await origin(t, named, version);
    await assert.rejects(shake(wrong.port, { context, host: "127.0.0.1" }), {
      code: "origin_certificate_wrong_name",
    });
    const right = await origin(t, addressed, version);
    const met = once(right.server, "secureConnection");
    await shake(right.port, { context, host: "127.0.0.1" });
    await met;
    assert.deepEqual([wrong.seen, right.seen], [[], ["CN=client"]]);
  });

  test(`on ${version} Node judges the name where OpenSSL reported nothing`, async (t) => {
    const { authority, context } = await client();
    const elsewhere = await authority.issue({
      subject: "CN=localhost",
      dns: ["elsewhere.example"],
    });
    const { port } = await origin(t, elsewhere, version);
    const emit = Reflect.get(TLSSocket.prototype, "emit");
    let unreported = 0;
    t.mock.method(TLSSocket.prototype, "emit", function (this: TLSSocket, ...args: [string]) {
      if (args[0] !== "OCSPResponse") return emit.apply(this, args);
      unreported += 1;
      return true;
    });
    await assert.rejects(shake(port, { context, host: "localhost" }), {
      code: "origin_certificate_wrong_name",
    });
    assert.equal(unreported, 1);
  });

  test(`on ${version} a resumed session goes on, and the origin's certificate is known`, async (t) => {
    const { authority, context } = await client();
    const named = await authority.issue({ subject: "CN=localhost", dns: ["localhost"] });
    const { port } = await origin(t, named, version);
    const given = Promise.withResolvers<Buffer>();
    const first = await shake(port, { context, host: "localhost", onSession: given.resolve });
    assert.equal(first.getPeerCertificate().subject.CN, "localhost");
    first.resume();
    const session = await given.promise;
    const second = await shake(port, { context, host: "localhost", session });
    assert.deepEqual([first.isSessionReused(), second.isSessionReused()], [false, true]);
    assert.equal(second.authorized, true);
  });
}

async function client(): Promise<{
  authority: Awaited<ReturnType<typeof makeAuthority>>;
  context: SecureContext;
}> {
  const authority = await makeAuthority();
  const { chain: cert, key } = await authority.issue({ subject: "CN=client" });
  return { authority, context: createSecureContext({ ca: authority.pem, cert, key }) };
}

async function shake(
  port: number,
  { host, ...rest }: Pick<HandshakeOptions, "context" | "onSession" | "session"> & { host: string },
): Promise<TLSSocket> {
  const socket = connect(port, "127.0.0.1");
  await once(socket, "connect");
  return handshake(socket, {
    destination: { host, port },
    presented: null,
    protocols: [],
    timeout: 10_000,
    ...rest,
  });
}

async function origin(
  t: TestContext,
  { chain: cert, key }: TestCertificate,
  version: SecureVersion,
): Promise<{ port: number; server: Server; seen: string[] }> {
  const seen: string[] = [];
  const sockets = new Set<Socket>();
  const versions = { minVersion: version, maxVersion: version };
  const options = { cert, key, ...versions, requestCert: true, rejectUnauthorized: false };
  const server = createServer({ ...options, sessionIdContext: "handshake" }, (socket) => {
    seen.push(socket.getPeerX509Certificate()?.subject ?? "none");
    socket.on("error", () => {});
  });
  server.on("connection", (socket: Socket) => sockets.add(socket));
  server.on("tlsClientError", () => {});
  await once(server.listen(0, "127.0.0.1"), "listening");
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return { port: (server.address() as AddressInfo).port, server, seen };
}
