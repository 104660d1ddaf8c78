import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import type { AddressInfo } from "node:net";
import { createServer, type TlsOptions } from "node:tls";
import { after, before, describe, test, type TestContext } from "node:test";
import { countersign } from "./helpers/cli.ts";
import { until } from "./helpers/until.ts";
import { startPlatform } from "./helpers/platform.ts";
import { startTestEdge, type TestEdge } from "./helpers/edge.ts";
import { ask, edgeCertificate, testGateway, type TestGateway } from "./helpers/gateway.ts";
import { fetchInProcess } from "./helpers/in-process.ts";
import { developmentAddresses } from "../src/dev/gateway.ts";
import {
  issuedBy,
  makeAuthority,
  selfSigned,
  type TestAuthority,
  type TestCertificate,
} from "./helpers/pki.ts";
import { sealedCertificate } from "./helpers/sealed-certificate.ts";
import { ACCOUNT, makeVersion, MASTER_KEY } from "./helpers/source.ts";

/** An origin, and whether both ways to reach it accept it. */
interface Case {
  readonly what: string;
  readonly server: () => Promise<TestCertificate>;
  readonly tls?: TlsOptions;
  /** Default: `localhost`. */
  readonly host?: string;
  /** The gateway's failure. Null: accepted, in-process as well. */
  readonly refused: string | null;
}

let authority: TestAuthority;
let issuing: TestAuthority;
const named = (...dns: string[]) => authority.issue({ subject: "CN=origin", dns });
const wrongName = "origin_certificate_wrong_name";
const suite = (ciphers: string): TlsOptions => ({ ciphers, maxVersion: "TLSv1.2" });
const rsa = () => authority.issue({ subject: "CN=o", dns: ["localhost"], algorithm: "RSA-2048" });

const cases: readonly Case[] = [
  // Names.
  { what: "its own name", server: () => named("localhost"), refused: null },
  { what: "its name in capitals", server: () => named("LOCALHOST"), refused: null },
  {
    what: "its name with a dot",
    server: () => named("localhost"),
    host: "localhost.",
    refused: null,
  },
  {
    what: "a wildcard",
    server: () => named("*.corp.example"),
    host: "a.corp.example",
    refused: null,
  },
  {
    what: "a wildcard, two labels",
    server: () => named("*.corp.example"),
    host: "b.a.corp.example",
    refused: wrongName,
  },
  {
    what: "a wildcard's own domain",
    server: () => named("*.corp.example"),
    host: "corp.example",
    refused: wrongName,
  },
  {
    what: "a partial wildcard",
    server: () => named("a*.corp.example"),
    host: "ab.corp.example",
    refused: wrongName,
  },
  {
    what: "a wildcard's end",
    server: () => named("*b.corp.example"),
    host: "ab.corp.example",
    refused: wrongName,
  },
  {
    what: "a wildcard within",
    server: () => named("a.*.corp.example"),
    host: "a.b.corp.example",
    refused: wrongName,
  },
  { what: "a wildcard alone", server: () => named("*"), refused: wrongName },
  {
    what: "a wildcard below a top-level domain",
    server: () => named("*.example"),
    host: "corp.example",
    refused: wrongName,
  },
  {
    what: "a common name alone",
    server: () => authority.issue({ subject: "CN=localhost" }),
    refused: wrongName,
  },
  {
    what: "a common name beside another name",
    server: () => authority.issue({ subject: "CN=localhost", dns: ["other"] }),
    refused: wrongName,
  },
  {
    what: "a URI alone",
    server: () => authority.issue({ subject: "CN=localhost", uris: ["https://localhost"] }),
    refused: wrongName,
  },
  {
    what: "its address",
    server: () => authority.issue({ subject: "CN=o", ips: ["127.0.0.1"] }),
    host: "127.0.0.1",
    refused: null,
  },
  {
    what: "its address as a name",
    server: () => named("127.0.0.1"),
    host: "127.0.0.1",
    refused: wrongName,
  },
  {
    what: "another address",
    server: () => authority.issue({ subject: "CN=127.0.0.1", ips: ["127.0.0.2"] }),
    host: "127.0.0.1",
    refused: wrongName,
  },
  // Trust.
  {
    what: "an intermediate with its chain",
    server: async () =>
      (await authority.intermediate("Mid")).issue({ subject: "CN=o", dns: ["localhost"] }),
    refused: null,
  },
  {
    what: "an intermediate that it does not send",
    server: async () =>
      leafAlone(
        await (await authority.intermediate("Mid")).issue({ subject: "CN=o", dns: ["localhost"] }),
      ),
    refused: "origin_certificate_unknown_ca",
  },
  {
    what: "an uploaded intermediate",
    server: async () => leafAlone(await issuing.issue({ subject: "CN=o", dns: ["localhost"] })),
    refused: null,
  },
  {
    what: "a stranger's CA",
    server: async () =>
      (await makeAuthority("Stranger")).issue({ subject: "CN=o", dns: ["localhost"] }),
    refused: "origin_certificate_unknown_ca",
  },
  {
    what: "a stranger's CA of the same name",
    server: async () => (await makeAuthority()).issue({ subject: "CN=o", dns: ["localhost"] }),
    refused: "origin_certificate_unknown_ca",
  },
  {
    what: "nobody",
    server: () => selfSigned("localhost"),
    refused: "origin_certificate_self_signed",
  },
  {
    what: "a leaf that plays a CA",
    server: async () => issuedByLeaf(),
    refused: "origin_certificate_invalid",
  },
  {
    what: "an expired certificate",
    server: () =>
      authority.issue({
        subject: "CN=o",
        dns: ["localhost"],
        notAfter: new Date(Date.now() - 1000),
      }),
    refused: "origin_certificate_expired",
  },
  {
    what: "a client's certificate",
    server: () => authority.issue({ subject: "CN=o", dns: ["localhost"], usages: ["clientAuth"] }),
    refused: "origin_certificate_invalid",
  },
  // Cipher suites of TLS 1.2, and versions.
  {
    what: "ECDHE with AES-GCM",
    server: () => named("localhost"),
    tls: suite("ECDHE-ECDSA-AES128-GCM-SHA256"),
    refused: null,
  },
  {
    what: "ECDHE with ChaCha20",
    server: () => named("localhost"),
    tls: suite("ECDHE-ECDSA-CHACHA20-POLY1305"),
    refused: null,
  },
  {
    what: "ECDHE with RSA and AES-256-GCM",
    server: rsa,
    tls: suite("ECDHE-RSA-AES256-GCM-SHA384"),
    refused: null,
  },
  {
    what: "ECDHE with CBC",
    server: () => named("localhost"),
    tls: suite("ECDHE-ECDSA-AES128-SHA"),
    refused: "origin_no_shared_cipher",
  },
  {
    what: "ECDHE with CBC and SHA-256",
    server: rsa,
    tls: suite("ECDHE-RSA-AES128-SHA256"),
    refused: "origin_no_shared_cipher",
  },
  {
    what: "ECDHE with CCM",
    server: () => named("localhost"),
    tls: suite("ECDHE-ECDSA-AES128-CCM"),
    refused: "origin_no_shared_cipher",
  },
  {
    what: "static RSA",
    server: rsa,
    tls: suite("AES128-GCM-SHA256"),
    refused: "origin_no_shared_cipher",
  },
  {
    what: "finite-field groups",
    server: rsa,
    tls: { ...suite("DHE-RSA-AES128-GCM-SHA256"), dhparam: "auto" },
    refused: "origin_no_shared_cipher",
  },
  {
    what: "TLS 1.1",
    server: () => named("localhost"),
    tls: { minVersion: "TLSv1.1", maxVersion: "TLSv1.1", ciphers: "DEFAULT@SECLEVEL=0" },
    refused: "origin_protocol_version",
  },
];

describe("an origin with", () => {
  let gateway: TestGateway;
  let edge: TestEdge;
  let client: TestCertificate;
  const cleanups: (() => unknown)[] = [];
  before(async () => {
    authority = await makeAuthority();
    issuing = await (await makeAuthority("Somebody else's root")).intermediate("Somebody's CA");
    client = await authority.issue({ subject: "CN=client" });
    const trust = { authorities: [authority.pem, issuing.pem], hosts: {}, proxied: [] };
    const cleaner = { after: (cleanup = (): unknown => null) => void cleanups.push(cleanup) };
    gateway = await testGateway(cleaner as Pick<TestContext, "after">);
    await gateway.handle.setTrust("a", trust);
    await gateway.handle.setCertificate(edgeCertificate(client));
    await gateway.bind();
    edge = await startTestEdge({
      gateway: { logLevel: "silent", addresses: { development: true } },
    });
    await edge.edge.applied(edge.source.setTrust(trust));
    await deployInProcess(edge, client);
  });
  after(async () => {
    await edge[Symbol.asyncDispose]();
    for (const cleanup of cleanups) await cleanup();
  });

  for (const { what, server, tls, host = "localhost", refused } of cases) {
    test(`${what} is ${refused === null ? "taken" : "refused"}, by both`, async (t) => {
      const port = await serve(t, await server(), tls);
      const url = `https://${host}:${port}/`;
      if (host !== "localhost") {
        await gateway.handle.setAddresses(developmentAddresses({ [host]: `127.0.0.1:${port}` }));
      }
      const answer = await ask(gateway.socket(), url);
      assert.equal(answer.headers["countersign-failure"] ?? null, refused, answer.text);
      if (host !== "localhost") {
        const address = `127.0.0.1:${port}`;
        const { chain, key } = client;
        const own = await fetchInProcess({
          origin: url,
          address,
          chain,
          privateKey: key,
          authority: authority.pem,
        });
        assert.equal("answer" in own, refused === null, JSON.stringify(own));
        return;
      }
      const own = await edge.fetch("names.localhost", `/?to=${encodeURIComponent(url)}`);
      assert.equal(own.status === 200, refused === null, own.text);
      assert.equal(own.headers["countersign-failure"], undefined, "it went to the gateway");
    });
  }

  test("a name of every object is reported as one that does not resolve", async () => {
    for (const host of ["__proto__", "constructor", "hasownproperty", "tostring.valueof"]) {
      const answer = await ask(gateway.socket(), `https://${host}:8443/`);
      assert.equal(answer.headers["countersign-failure"], "origin_name_not_found", host);
      assert.match(answer.text, new RegExp(host));
    }
  });
});

test("an old origin is spoken to where its host was allowed old suites, and its name and CA still count", async (t) => {
  const old = await testGateway(t, { unsafeOldTls: ["localhost", "*.old.example"] });
  const trusted = await makeAuthority();
  await old.handle.setTrust("a", { authorities: [trusted.pem], hosts: {}, proxied: [] });
  await old.handle.setCertificate(edgeCertificate(await trusted.issue({ subject: "CN=me" })));
  await old.bind();
  const rsaServer = (host: string, by = trusted) =>
    by.issue({ subject: "CN=o", dns: [host], ips: ["127.0.0.1"], algorithm: "RSA-2048" });
  const told = async (server: TestCertificate, host = "localhost") => {
    const port = await serve(t, server, suite("AES128-SHA256"));
    const answer = await ask(old.socket(), `https://${host}:${port}/`);
    return answer.headers["countersign-failure"] ?? answer.status;
  };
  assert.equal(await told(await rsaServer("localhost")), 200);
  assert.equal(await told(await rsaServer("localhost"), "127.0.0.1"), "origin_no_shared_cipher");
  assert.equal(await told(await rsaServer("other")), wrongName);
  const stranger = await makeAuthority("Stranger");
  assert.equal(await told(await rsaServer("localhost", stranger)), "origin_certificate_unknown_ca");
});

test("that old suites are allowed is said at the start and by doctor", async () => {
  await using platform = await startPlatform({ args: ["--unsafe-old-tls", "ERP.internal"] });
  // Printed after the line that says that it is ready.
  await until(() => /✘ Connections to erp\.internal may be decrypted/.test(platform.log()));
  const doctor = await countersign(["doctor", "--data", platform.dataFolder]);
  assert.match(doctor.stdout, /! old tls +erp\.internal may choose cipher suites without/);
  const wrong = await countersign(["start", "--unsafe-old-tls", "https://erp.internal"]);
  assert.equal(wrong.status, 2);
});

function leafAlone(server: TestCertificate): TestCertificate {
  return { ...server, chain: server.pem };
}

/** Its issuer is a certificate of the CA that is not a CA itself. */
async function issuedByLeaf(): Promise<TestCertificate> {
  const { x509, keys } = await authority.issue({ subject: "CN=no CA" });
  return issuedBy({ certificate: x509, keys: keys! }, "localhost");
}

async function deployInProcess(edge: TestEdge, client: TestCertificate): Promise<void> {
  const certificateId = randomUUID();
  const owner = { masterKey: MASTER_KEY, accountId: ACCOUNT, certificateId };
  await edge.edge.applied(edge.source.setCertificate(sealedCertificate(client, owner)));
  const code = `export default { fetch: (request, env) =>
    env.CERT.fetch(new URL(request.url).searchParams.get("to")) };`;
  const bindings = [
    { type: "mtls_certificate" as const, name: "CERT", certificateId, mode: "in-process" as const },
  ];
  await edge.deploy(makeVersion("names", code, bindings));
}

async function serve(
  t: TestContext,
  { chain, key }: TestCertificate,
  options: TlsOptions = {},
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
