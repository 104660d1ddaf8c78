import assert from "node:assert/strict";
import { createPrivateKey, randomBytes, webcrypto } from "node:crypto";
import type { AddressInfo } from "node:net";
import { after, before, describe, test, type TestContext } from "node:test";
import { createServer } from "node:tls";
import * as x509 from "../../src/certificates/x509.ts";
import { ask, edgeCertificate, testGateway, type TestGateway } from "../helpers/gateway.ts";
import { makeAuthority } from "../helpers/pki.ts";

/**
 * The kinds of server cases of x509-limbo, generated at each run and requested through the gateway. `limbo` is its
 * verdict where ours differs, with the reason.
 */
interface Case {
  readonly what: string;
  readonly chain: () => Promise<Chain>;
  /** The gateway's failure. Null: the origin is accepted. */
  readonly verdict: string | null;
  readonly limbo?: string;
}

interface Made {
  readonly certificate: x509.X509Certificate;
  readonly keys: webcrypto.CryptoKeyPair;
}

/** The leaf first; the root, which is trusted, last. */
type Chain = readonly [Made, ...Made[]];

const invalid = "origin_certificate_invalid";
/** OpenSSL does not look for the issuer of a certificate that it cannot read. */
const unknown = "origin_certificate_unknown_ca";
const name = "origin_certificate_wrong_name";
const expired = "origin_certificate_expired";

const CA = new x509.BasicConstraintsExtension(true, undefined, true);
const signs = new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign, true);
const san = (...names: x509.JsonGeneralNames) => new x509.SubjectAlternativeNameExtension(names);
const localhost = san({ type: "dns", value: "localhost" });
const eku = (...oids: string[]) => new x509.ExtendedKeyUsageExtension(oids);
const raw = (oid: string, hex: string, critical = false) =>
  new x509.Extension(oid, critical, Buffer.from(hex, "hex"));
const SERVER = "1.3.6.1.5.5.7.3.1";
const CLIENT = "1.3.6.1.5.5.7.3.2";
const ANY = "2.5.29.37.0";
const day = (days: number) => new Date(Date.now() + days * 86_400_000);

const der = (type: string, body: string): string =>
  type + (body.length / 2).toString(16).padStart(2, "0") + body;

/** A name constraint, permitted (a0) or excluded (a1), for one DNS subtree. */
function constraint(tag: "a0" | "a1", dns: string): x509.Extension {
  const base = der("82", Buffer.from(dns).toString("hex"));
  return raw("2.5.29.30", der("30", der(tag, der("30", base))), true);
}

const cases: readonly Case[] = [
  { what: "a leaf of the root", chain: () => of({}), verdict: null },
  { what: "an intermediate", chain: () => of({}, {}), verdict: null },
  { what: "four intermediates", chain: () => of({}, {}, {}, {}, {}), verdict: null },
  {
    what: "a root that is not trusted",
    chain: async () => [...(await of({})).slice(0, 1), (await of({})).at(-1)!] as never,
    verdict: unknown,
  },
  // Name constraints.
  {
    what: "a name within the permitted",
    chain: () => of({}, { extensions: [constraint("a0", "localhost")] }),
    verdict: null,
  },
  {
    what: "a name beside the permitted",
    chain: () => of({}, { extensions: [constraint("a0", "example.com")] }),
    verdict: invalid,
  },
  {
    what: "an excluded name",
    chain: () => of({}, { extensions: [constraint("a1", "localhost")] }),
    verdict: invalid,
  },
  {
    what: "a name beside the excluded",
    chain: () => of({}, { extensions: [constraint("a1", "example.com")] }),
    verdict: null,
  },
  {
    what: "a name that two CAs in turn exclude",
    chain: () =>
      of(
        {},
        { extensions: [constraint("a0", "localhost")] },
        { extensions: [constraint("a0", "example.com")] },
      ),
    verdict: invalid,
  },
  {
    what: "a malformed name constraint",
    chain: () => of({}, { extensions: [raw("2.5.29.30", "3001ff", true)] }),
    verdict: unknown,
  },
  // Extended key usage.
  { what: "serverAuth", chain: () => of({ extensions: [localhost, eku(SERVER)] }), verdict: null },
  {
    what: "clientAuth alone",
    chain: () => of({ extensions: [localhost, eku(CLIENT)] }),
    verdict: invalid,
  },
  {
    what: "any extended key usage",
    chain: () => of({ extensions: [localhost, eku(ANY)] }),
    verdict: invalid,
  },
  {
    what: "a CA for clients alone",
    chain: () => of({}, { extensions: [eku(CLIENT)] }),
    verdict: invalid,
  },
  { what: "a CA for servers", chain: () => of({}, { extensions: [eku(SERVER)] }), verdict: null },
  {
    what: "a key usage without signatures",
    chain: () =>
      of({
        extensions: [localhost, new x509.KeyUsagesExtension(x509.KeyUsageFlags.cRLSign, true)],
      }),
    verdict: invalid,
  },
  // Path length.
  {
    what: "a path length that is kept",
    chain: () => of({}, {}, { constraints: new x509.BasicConstraintsExtension(true, 1, true) }),
    verdict: null,
  },
  {
    what: "a path length that is exceeded",
    chain: () => of({}, {}, { constraints: new x509.BasicConstraintsExtension(true, 0, true) }),
    verdict: invalid,
  },
  {
    what: "a path length of the root that is exceeded",
    chain: () => ofRoot({ constraints: new x509.BasicConstraintsExtension(true, 0, true) }, {}, {}),
    verdict: invalid,
  },
  // Certificates that are not CAs.
  {
    what: "an intermediate with CA:FALSE",
    chain: () =>
      of({}, { constraints: new x509.BasicConstraintsExtension(false, undefined, true) }),
    verdict: invalid,
  },
  {
    what: "an intermediate without basic constraints",
    chain: () => of({}, { constraints: null }),
    verdict: invalid,
  },
  {
    what: "an intermediate that may not sign",
    chain: () =>
      of({}, { usage: new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true) }),
    verdict: invalid,
  },
  {
    what: "a leaf with CA:TRUE",
    chain: () => of({ extensions: [localhost, CA] }),
    verdict: null,
    limbo: "refused (CA/B): OpenSSL and private CAs take it, as curl does",
  },
  // Dates.
  {
    what: "a leaf that has expired",
    chain: () => of({ notBefore: day(-9), notAfter: day(-1) }),
    verdict: expired,
  },
  {
    what: "a leaf of tomorrow",
    chain: () => of({ notBefore: day(1) }),
    verdict: "origin_certificate_not_yet_valid",
  },
  {
    what: "an intermediate that has expired",
    chain: () => of({}, { notBefore: day(-9), notAfter: day(-1) }),
    verdict: expired,
  },
  {
    what: "a root that has expired",
    chain: () => ofRoot({ notBefore: day(-9), notAfter: day(-1) }, {}),
    verdict: expired,
  },
  {
    what: "an end before the beginning",
    chain: () => of({ notBefore: day(1), notAfter: day(-1) }),
    verdict: expired,
  },
  {
    what: "a validity of ten years",
    chain: () => of({ notAfter: day(3650) }),
    verdict: null,
    limbo: "refused (CA/B, 398 days): private CAs issue longer",
  },
  // Extensions.
  {
    what: "an unknown critical extension",
    chain: () => of({ extensions: [localhost, raw("1.2.3.4", "0500", true)] }),
    verdict: invalid,
  },
  {
    what: "an unknown critical extension of a CA",
    chain: () => of({}, { extensions: [raw("1.2.3.4", "0500", true)] }),
    verdict: invalid,
  },
  {
    what: "an unknown extension",
    chain: () => of({ extensions: [localhost, raw("1.2.3.4", "0500")] }),
    verdict: null,
  },
  {
    what: "a name extension twice",
    chain: () => of({ extensions: [localhost, san({ type: "dns", value: "example.com" })] }),
    verdict: unknown,
  },
  {
    what: "malformed basic constraints",
    chain: () => of({ extensions: [localhost, raw("2.5.29.19", "b000", true)] }),
    verdict: unknown,
  },
  {
    what: "a key identifier of another issuer",
    chain: () => of({ extensions: [localhost, raw("2.5.29.35", "30168014" + "00".repeat(20))] }),
    verdict: unknown,
  },
  // Names.
  { what: "no name at all", chain: () => of({ extensions: [] }), verdict: name },
  {
    what: "no subject, and a critical name",
    chain: () =>
      of({
        subject: "",
        extensions: [
          new x509.SubjectAlternativeNameExtension([{ type: "dns", value: "localhost" }], true),
        ],
      }),
    verdict: null,
  },
  {
    what: "no subject, and a name that is not critical",
    chain: () => of({ subject: "" }),
    verdict: null,
    limbo: "refused (RFC 5280): SPIFFE and ACME issue them, clients take them",
  },
  {
    what: "an empty name",
    chain: () => of({ extensions: [san({ type: "dns", value: "" })] }),
    verdict: name,
  },
  {
    what: "a name with a NUL in it",
    chain: () => of({ extensions: [san({ type: "dns", value: "localhost\0.example.com" })] }),
    verdict: name,
  },
  {
    what: "a name that ends with a dot",
    chain: () => of({ extensions: [san({ type: "dns", value: "localhost." })] }),
    verdict: name,
  },
  {
    what: "a name that begins with a dot",
    chain: () => of({ extensions: [san({ type: "dns", value: ".localhost" })] }),
    verdict: name,
  },
  {
    what: "an e-mail address alone",
    chain: () => of({ extensions: [san({ type: "email", value: "a@localhost" })] }),
    verdict: name,
  },
  {
    what: "an address alone",
    chain: () => of({ extensions: [san({ type: "ip", value: "127.0.0.1" })] }),
    verdict: name,
  },
  // Keys and hashes.
  { what: "RSA with 2048 bits", chain: () => of({ key: "RSA-2048" }), verdict: null },
  { what: "RSA with 1024 bits", chain: () => of({ key: "RSA-1024" }), verdict: invalid },
  {
    what: "a CA of RSA with 1024 bits",
    chain: () => of({}, { key: "RSA-1024" }),
    verdict: invalid,
  },
  { what: "SHA-1", chain: () => of({ hash: "SHA-1" }, {}), verdict: invalid },
  { what: "SHA-1 of a CA", chain: () => of({}, { hash: "SHA-1" }, {}), verdict: invalid },
  { what: "a signature of another key", chain: () => forged(), verdict: invalid },
  {
    what: "a serial number of zero",
    chain: () => of({ serial: "00" }),
    verdict: null,
    limbo: "refused (RFC 5280): OpenSSL does not look",
  },
];

describe("an origin with", () => {
  let gateway: TestGateway;
  const cleanups: (() => unknown)[] = [];
  before(async () => {
    const cleaner = { after: (cleanup = (): unknown => null) => void cleanups.push(cleanup) };
    gateway = await testGateway(cleaner as Pick<TestContext, "after">);
    const client = await (await makeAuthority("Clients")).issue({ subject: "CN=client" });
    await gateway.handle.setCertificate(edgeCertificate(client));
    await gateway.bind();
  });
  after(async () => {
    for (const cleanup of cleanups) await cleanup();
  });
  for (const { what, chain, verdict } of cases) {
    test(`${what}: ${verdict ?? "taken"}`, async (t) => {
      const made = await chain();
      const root = pemOf(made.at(-1)!);
      await gateway.handle.setTrust("a", { authorities: [root], hosts: {}, proxied: [] });
      const port = await serve(t, made);
      const answer = await ask(gateway.socket(), `https://localhost:${port}/`);
      assert.equal(answer.headers["countersign-failure"] ?? null, verdict, answer.text);
    });
  }
});

interface Wanted {
  readonly subject?: string;
  /** Default: a name for a leaf, none for a CA. In addition to a CA's constraints and usage. */
  readonly extensions?: readonly x509.Extension[];
  readonly constraints?: x509.Extension | null;
  readonly usage?: x509.Extension;
  readonly notBefore?: Date;
  readonly notAfter?: Date;
  readonly key?: "P-256" | "RSA-2048" | "RSA-1024";
  /** The hash of the signature on it. SHA-1 makes the issuer's key an RSA key. */
  readonly hash?: "SHA-256" | "SHA-1";
  readonly serial?: string;
}

/** A leaf and its intermediates, leaf first, below an ordinary root. */
function of(...wanted: readonly [Wanted, ...Wanted[]]): Promise<Chain> {
  return ofRoot({}, ...wanted);
}

async function ofRoot(root: Wanted, ...wanted: readonly [Wanted, ...Wanted[]]): Promise<Chain> {
  const plan = [...wanted, root];
  const chain: Made[] = [];
  for (let index = plan.length - 1; index >= 0; index -= 1) {
    const below = plan[index - 1];
    const key = below?.hash === "SHA-1" ? "RSA-2048" : (plan[index]!.key ?? "P-256");
    chain.unshift(await make({ ...plan[index]!, key }, chain[0] ?? null, index > 0));
  }
  return chain as unknown as Chain;
}

async function make(wanted: Wanted, issuer: Made | null, isAuthority: boolean): Promise<Made> {
  const { key = "P-256", hash = "SHA-256", constraints = CA, usage = signs } = wanted;
  const keys = await makeKeys(key);
  const signer = issuer?.keys ?? keys;
  const subject =
    wanted.subject ?? (isAuthority ? `CN=CA ${randomBytes(4).toString("hex")}` : "CN=origin");
  const signing = { ...signer.privateKey.algorithm, hash } as never;
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: wanted.serial ?? `01${randomBytes(8).toString("hex")}`,
    subject,
    issuer: issuer?.certificate.subject ?? subject,
    notBefore: wanted.notBefore ?? day(-1),
    notAfter: wanted.notAfter ?? day(90),
    publicKey: keys.publicKey,
    signingKey: await withHash(signer.privateKey, hash),
    signingAlgorithm: signing,
    extensions: isAuthority
      ? [
          ...(constraints ? [constraints] : []),
          usage,
          await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
          ...(wanted.extensions ?? []),
        ]
      : [...(wanted.extensions ?? [localhost])],
  });
  return { certificate, keys };
}

/** WebCrypto ties an RSA key to a hash. */
async function withHash(key: CryptoKey, hash: string): Promise<CryptoKey> {
  if (key.algorithm.name !== "RSASSA-PKCS1-v1_5") return key;
  const pkcs8 = await webcrypto.subtle.exportKey("pkcs8", key);
  return webcrypto.subtle.importKey("pkcs8", pkcs8, { name: key.algorithm.name, hash }, true, [
    "sign",
  ]);
}

/** It names the CA as its issuer, but another key with the same name signed it. */
async function forged(): Promise<Chain> {
  const [, root] = await of({});
  const keys = await makeKeys("P-256");
  const leaf = await make({}, { certificate: root!.certificate, keys }, false);
  return [leaf, root!];
}

async function makeKeys(kind: "P-256" | "RSA-2048" | "RSA-1024"): Promise<webcrypto.CryptoKeyPair> {
  const parameters =
    kind === "P-256"
      ? { name: "ECDSA", namedCurve: "P-256" }
      : {
          name: "RSASSA-PKCS1-v1_5",
          hash: "SHA-256",
          modulusLength: Number(kind.slice(4)),
          publicExponent: new Uint8Array([1, 0, 1]),
        };
  const usages: webcrypto.KeyUsage[] = ["sign", "verify"];
  return webcrypto.subtle.generateKey(parameters, true, usages);
}

function pemOf({ certificate }: Made): string {
  return `${certificate.toString("pem")}\n`;
}

/** Sends everything except the root. */
async function serve(t: TestContext, made: Chain): Promise<number> {
  const pkcs8 = Buffer.from(await webcrypto.subtle.exportKey("pkcs8", made[0].keys.privateKey));
  const key = createPrivateKey({ key: pkcs8, format: "der", type: "pkcs8" });
  const server = createServer({
    cert: made.slice(0, -1).map(pemOf).join(""),
    key: key.export({ format: "pem", type: "pkcs8" }),
    // Our own server would not send this, but others do.
    ciphers: "DEFAULT@SECLEVEL=0",
  });
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
