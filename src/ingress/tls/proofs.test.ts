import assert from "node:assert/strict";
import { createHash, X509Certificate } from "node:crypto";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { after, before, test } from "node:test";
import { connect, createServer, type Server } from "node:tls";
import { makeAuthority } from "../../../test/helpers/pki.ts";
import { Challenges } from "../challenges.ts";
import { ClientHandshakes } from "./client-handshakes.ts";
import { Hosts } from "./hosts.ts";
import { LocalLeaves } from "./local-leaves.ts";
import { Proofs } from "./proofs.ts";
import { Zones } from "../zones.ts";
import { endFailedHandshakes, TLS_OPTIONS } from "./tls-options.ts";

const HOST = "api.example.com";
const proof = { host: HOST, token: "t", keyAuthorization: "t.thumbprint" };

const challenges = new Challenges();
let server: Server;
before(async () => {
  const own = await (await makeAuthority()).issue({ subject: "CN=own", dns: [HOST] });
  const byDefault = { chain: own.chain, key: own.key };
  server = createServer({ ...TLS_OPTIONS, ...own, cert: own.chain, ALPNProtocols: ["h2"] });
  endFailedHandshakes(server);
  new ClientHandshakes({
    hosts: new Hosts(),
    zones: new Zones(),
    narrow: () => server,
    tls: TLS_OPTIONS,
    leaves: new LocalLeaves(
      () => Promise.resolve(null),
      () => false,
    ),
    proofs: new Proofs(challenges, TLS_OPTIONS),
    byDefault: () => byDefault,
    done: () => {},
  }).divert(server);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
});
after(() => server.close());

/** What is presented, and the protocol that was agreed on; or how the handshake failed. */
function shaken(
  servername: string,
  protocols: string[],
): Promise<{ readonly certificate: X509Certificate; readonly protocol: string | false | null }> {
  return new Promise((resolve, reject) => {
    const { port } = server.address() as AddressInfo;
    const options = { port, servername, rejectUnauthorized: false, ALPNProtocols: protocols };
    const socket = connect(options, () => {
      resolve({
        certificate: socket.getPeerX509Certificate()!,
        protocol: socket.alpnProtocol,
      });
      socket.destroy();
    }).on("error", reject);
  });
}

test("an ACME server is presented the proof of an order that is under way, and nobody else is", async () => {
  await assert.rejects(shaken(HOST, ["acme-tls/1"]), /alert/);
  challenges.update("a", [proof]);
  const { certificate, protocol } = await shaken(HOST.toUpperCase(), ["acme-tls/1"]);
  assert.equal(protocol, "acme-tls/1");
  assert.equal(certificate.subjectAltName, `DNS:${HOST}`);
  assert.equal(certificate.verify(certificate.publicKey), true);
  const digest = createHash("sha256").update(proof.keyAuthorization).digest("hex");
  assert.match(
    certificate.raw.toString("hex"),
    new RegExp(`06082b0601050507011f0101ff04220420${digest}`),
  );

  for (const [name, protocols] of [
    [HOST, ["h2"]],
    [HOST, ["acme-tls/1", "h2"]],
    ["other.example.com", ["h2", "acme-tls/1"]],
  ] as const) {
    const usual = await shaken(name, [...protocols]);
    assert.deepEqual([usual.protocol, usual.certificate.subject], ["h2", "CN=own"]);
  }
  await assert.rejects(shaken("other.example.com", ["acme-tls/1"]), /alert/);
  challenges.update("a", []);
  await assert.rejects(shaken(HOST, ["acme-tls/1"]), /alert/);
});

test("a handshake that is broken off ends its own connection alone", async () => {
  challenges.update("a", [proof]);
  const { port } = server.address() as AddressInfo;
  const socket = connect({
    port,
    servername: HOST,
    ALPNProtocols: ["acme-tls/1"],
    maxVersion: "TLSv1.2",
    ciphers: "AES128-SHA",
  });
  await assert.rejects(once(socket, "secureConnect"));
  assert.equal((await shaken(HOST, ["acme-tls/1"])).protocol, "acme-tls/1");
  challenges.update("a", []);
});
