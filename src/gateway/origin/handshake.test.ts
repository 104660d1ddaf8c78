import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, createServer as createTcpServer, type AddressInfo, type Socket } from "node:net";
import { test, type TestContext } from "node:test";
import {
  createSecureContext,
  createServer,
  TLSSocket,
  type SecureContext,
  type SecureVersion,
  type Server,
  type TlsOptions,
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

for (const version of ["TLSv1.2", "TLSv1.3"] as const) {
  test(`on ${version} a server that is not trusted, or has another SPIFFE ID, sees no certificate`, async (t) => {
    const { authority, context } = await client();
    const elsewhere = await makeAuthority("Elsewhere");
    const named = { subject: "CN=localhost", dns: ["localhost"] };
    const unknown = await origin(t, await elsewhere.issue(named), version);
    await assert.rejects(shake(unknown.port, { context, host: "localhost" }), {
      code: "origin_certificate_unknown_ca",
      message: `the certificate of localhost:${unknown.port} (CN=localhost) was issued by CN=Elsewhere, which is not trusted here (UNABLE_TO_VERIFY_LEAF_SIGNATURE)`,
    });
    const other = await origin(t, await authority.issue({ ...named, uris: [ID] }), version);
    const spiffe = [{ authority: authority.pem, ids: ["spiffe://acme.example/other"] }];
    for (const verifyName of [true, false]) {
      await assert.rejects(shake(other.port, { context, host: "localhost", spiffe, verifyName }), {
        code: "origin_certificate_wrong_spiffe_id",
        message: new RegExp(`: it is ${ID}$`),
      });
    }
    assert.deepEqual([unknown.seen, other.seen], [[], []]);
  });

  test(`on ${version} a server that is known by its SPIFFE ID needs no name`, async (t) => {
    const { authority, context } = await client();
    const server = await origin(t, await authority.issue({ subject: "CN=x", uris: [ID] }), version);
    const spiffe = [{ authority: authority.pem, ids: [ID] }];
    const met = once(server.server, "secureConnection");
    await shake(server.port, { context, host: "localhost", spiffe });
    await met;
    assert.deepEqual(server.seen, ["CN=client"]);
    await assert.rejects(shake(server.port, { context, host: "localhost" }), {
      code: "origin_certificate_wrong_name",
      message: `the certificate of localhost:${server.port} is not for "localhost" but for URI:${ID}`,
    });
  });

  test(`on ${version} Node judges the SPIFFE ID where OpenSSL reported nothing`, async (t) => {
    const { authority, context } = await client();
    const named = { subject: "CN=localhost", dns: ["localhost"], uris: [ID] };
    const { port } = await origin(t, await authority.issue(named), version);
    reportNothing(t);
    for (const [id, code] of [
      [ID, null],
      ["spiffe://acme.example/other", "origin_certificate_wrong_spiffe_id"],
    ] as const) {
      const spiffe = [{ authority: authority.pem, ids: [id] }];
      const shaken = shake(port, { context, host: "localhost", spiffe });
      if (code === null) await shaken;
      else await assert.rejects(shaken, { code });
    }
  });

  test(`on ${version} a Node that does not tell whether a server was verified shows it nothing`, async (t) => {
    const { authority, context } = await client();
    const named = await authority.issue({ subject: "CN=localhost", dns: ["localhost"] });
    const { port, seen } = await origin(t, named, version);
    const emit = Reflect.get(TLSSocket.prototype, "emit");
    const untold = { verifyError: undefined };
    t.mock.method(
      TLSSocket.prototype,
      "emit",
      function (this: TLSSocket & { readonly ssl: object }, ...args: [string]) {
        if (args[0] === "OCSPResponse") Object.assign(this.ssl, untold);
        return emit.apply(this, args);
      },
    );
    await assert.rejects(shake(port, { context, host: "localhost" }), (error: Error) =>
      (error.cause as Error).message.startsWith("this version of Node does not tell"),
    );
    assert.deepEqual(seen, []);
  });

  test(`on ${version} a server of whatever name is still verified by its CA`, async (t) => {
    const { authority, context } = await client();
    const named = { subject: "CN=x", dns: ["elsewhere.example"] };
    const server = await origin(t, await authority.issue(named), version);
    const options = { context, host: "localhost", verifyName: false };
    await shake(server.port, options);
    const elsewhere = await origin(t, await (await makeAuthority("E")).issue(named), version);
    await assert.rejects(shake(elsewhere.port, options), { code: "origin_certificate_unknown_ca" });
    assert.deepEqual(elsewhere.seen, []);
    reportNothing(t);
    await shake(server.port, options);
  });
}

test("a server that names a protocol gets those that are offered, and a name only if it has one", async (t) => {
  const { authority, context } = await client();
  const both = { subject: "CN=localhost", dns: ["localhost"], ips: ["127.0.0.1"] };
  const { port, server } = await origin(t, await authority.issue(both), "TLSv1.3", {
    ALPNProtocols: ["h2", "http/1.1"],
  });
  for (const [host, protocols, expected] of [
    ["localhost", ["http/1.1"], ["localhost", "http/1.1"]],
    ["localhost", ["http/1.1", "h2"], ["localhost", "h2"]],
    ["127.0.0.1", [], [false, false]],
  ] as const) {
    const met = once(server, "secureConnection") as Promise<[TLSSocket & { servername: unknown }]>;
    const tls = await shake(port, { context, host, protocols });
    const [{ servername, alpnProtocol }] = await met;
    assert.deepEqual([servername, alpnProtocol], expected);
    assert.equal(tls.alpnProtocol, expected[1]);
  }
});

test("a server that refuses within the handshake is told apart by what it had said", async (t) => {
  const { authority, context } = await client();
  const named = await authority.issue({ subject: "CN=localhost", dns: ["localhost"] });
  const deaf = await origin(t, named, "TLSv1.2", { ciphers: "ECDHE-RSA-AES128-GCM-SHA256" });
  await assert.rejects(shake(deaf.port, { context, host: "localhost" }), {
    code: "origin_no_shared_cipher",
  });
  // It breaks off right after its first messages.
  const emit = Reflect.get(TLSSocket.prototype, "emit");
  let broken = new Error("reset");
  t.mock.method(TLSSocket.prototype, "emit", function (this: TLSSocket, ...args: [string]) {
    const result = emit.apply(this, args);
    if (args[0] === "OCSPResponse") this.destroy(broken);
    return result;
  });
  const reset = Object.assign(new Error("reset"), { code: "ECONNRESET" });
  const alert = new Error("SSL alert number 40");
  for (const [requestCert, error, code] of [
    [true, reset, "origin_closed_first_read"],
    [false, reset, "origin_handshake_reset"],
    [true, alert, "origin_handshake_failed"],
  ] as const) {
    broken = error;
    const { port } = await origin(t, named, "TLSv1.2", { requestCert });
    await assert.rejects(shake(port, { context, host: "localhost" }), { code });
  }
});

test("a server that says nothing is given up in time, or when nobody waits any more", async (t) => {
  const { context } = await client();
  const silent = createTcpServer((socket) => socket.on("error", () => {}));
  await once(silent.listen(0, "127.0.0.1"), "listening");
  t.after(() => silent.close());
  const { port } = silent.address() as AddressInfo;
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const socket = connect(port, "127.0.0.1");
  await once(socket, "connect");
  const slow = handshake(socket, { ...optionsFor(port), context, timeout: 500 });
  t.mock.timers.tick(499);
  assert.ok(!socket.destroyed);
  t.mock.timers.tick(1);
  await assert.rejects(slow, {
    code: "origin_handshake_timeout",
    message: `localhost:${port} did not finish the TLS handshake within 500 ms`,
    facts: { host: "localhost", port, timeoutMs: 500 },
  });
  const why = new Error("nobody waits");
  const signal = AbortSignal.abort(why);
  const unwanted = shake(port, { context, host: "localhost", signal });
  await assert.rejects(unwanted, (error) => error === why);
  // One that closes without a word.
  const other = connect(port, "127.0.0.1");
  await once(other, "connect");
  const closed = handshake(other, { ...optionsFor(port), context });
  other.destroy();
  await assert.rejects(closed, { code: "origin_handshake_reset" });
  // And one that had closed before.
  await assert.rejects(handshake(other, { ...optionsFor(port), context }), {
    code: "origin_handshake_reset",
  });
});

test("once it is over, a handshake has no time-out, cannot be called off, and its socket may break", async (t) => {
  const { authority, context } = await client();
  const named = await authority.issue({ subject: "CN=localhost", dns: ["localhost"] });
  const { port } = await origin(t, named, "TLSv1.3");
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const cancel = new AbortController();
  const tls = await shake(port, { context, host: "localhost", signal: cancel.signal });
  t.mock.timers.tick(60_000);
  cancel.abort(new Error("too late"));
  assert.ok(!tls.destroyed);
  const closed = new Promise((resolve) => tls.once("close", resolve));
  tls.destroy(new Error("reset"));
  await closed;
});

const ID = "spiffe://acme.example/ns/prod/api";

/** OpenSSL's word does not come. */
function reportNothing(t: TestContext): void {
  const emit = Reflect.get(TLSSocket.prototype, "emit");
  t.mock.method(TLSSocket.prototype, "emit", function (this: TLSSocket, ...args: [string]) {
    return args[0] === "OCSPResponse" || emit.apply(this, args);
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
  {
    host,
    ...rest
  }: Pick<HandshakeOptions, "context"> & Partial<HandshakeOptions> & { host: string },
): Promise<TLSSocket> {
  const socket = connect(port, "127.0.0.1");
  await once(socket, "connect");
  return handshake(socket, { ...optionsFor(port, host), ...rest });
}

function optionsFor(port: number, host = "localhost"): Omit<HandshakeOptions, "context"> {
  return { destination: { host, port }, presented: null, protocols: [], timeout: 10_000 };
}

async function origin(
  t: TestContext,
  { chain: cert, key }: TestCertificate,
  version: SecureVersion,
  more: TlsOptions = {},
): Promise<{ port: number; server: Server; seen: string[] }> {
  const seen: string[] = [];
  const sockets = new Set<Socket>();
  const versions = { minVersion: version, maxVersion: version };
  const options = { cert, key, ...versions, requestCert: true, rejectUnauthorized: false, ...more };
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
