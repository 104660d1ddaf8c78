import assert from "node:assert/strict";
import { createPrivateKey, webcrypto } from "node:crypto";
import { connect } from "node:http2";
import { request } from "node:https";
import { text as textOf } from "node:stream/consumers";
import { after, before, test } from "node:test";
import { AsnConvert } from "@peculiar/asn1-schema";
import { GeneralName, GeneralSubtree, GeneralSubtrees, NameConstraints } from "@peculiar/asn1-x509";
import * as x509 from "../src/certificates/x509.ts";
import { startTestEdge, type TestEdge } from "./helpers/edge.ts";
import { makeAuthority, type TestAuthority } from "./helpers/pki.ts";
import { makeVersion } from "./helpers/source.ts";

/** The kinds of chains of C2SP/x509-limbo, generated here. `npm run test:limbo` judges the original cases. */

const HOST = "chains.example";
const HOUR = 3_600_000;
const SIGN = x509.KeyUsageFlags.keyCertSign;
const CLIENT = "1.3.6.1.5.5.7.3.2";
const SERVER = "1.3.6.1.5.5.7.3.1";
const ANY = "2.5.29.37.0";

let edge: TestEdge;
let servers: TestAuthority;
let root: Issuer;
let port = 0;

interface Issuer {
  readonly name: string;
  readonly keys: webcrypto.CryptoKeyPair;
  /** PEM of it and of the certificates above it, without the root. */
  readonly above: string;
}

before(async () => {
  servers = await makeAuthority("Servers");
  const authority = await makeAuthority("Clients");
  root = { name: "CN=Clients", keys: authority.keys, above: "" };
  const { chain, key } = await servers.issue({ subject: "CN=server", dns: [HOST] });
  edge = await startTestEdge({
    https: { host: "127.0.0.1", port: 0, redirect: false, byDefault: { chain, key } },
  });
  port = Number(new URL(edge.edge.httpsUrl!).port);
  const worker = `export default { fetch: (request) => new Response(request.cf.tlsClientAuth.certVerified) };`;
  await edge.deploy(makeVersion("echo", worker), { hosts: [HOST] });
  const clients = {
    mode: "required" as const,
    authorities: [authority.pem],
    revoked: [],
    forward: false,
  };
  await edge.edge.applied(edge.source.setHosts([{ host: HOST, certificate: null, clients }]));
});
after(() => edge[Symbol.asyncDispose]());

interface Made {
  readonly name?: string;
  readonly extensions?: readonly x509.Extension[];
  readonly notAfter?: Date;
  readonly hash?: "SHA-1" | "SHA-256";
  readonly bits?: 1024 | 2048;
}

let serial = 1;

async function make(issuer: Issuer, made: Made): Promise<Issuer & { key: string }> {
  const { name = "CN=x", extensions = [], notAfter, hash = "SHA-256", bits } = made;
  const algorithm = bits
    ? {
        name: "RSASSA-PKCS1-v1_5",
        hash: "SHA-256",
        modulusLength: bits,
        publicExponent: new Uint8Array([1, 0, 1]),
      }
    : { name: "ECDSA", namedCurve: "P-256" };
  const pair = await webcrypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: (serial += 1).toString(16).padStart(4, "0"),
    subject: name,
    issuer: issuer.name,
    notBefore: new Date(Date.now() - 2 * HOUR),
    notAfter: notAfter ?? new Date(Date.now() + HOUR),
    signingKey: issuer.keys.privateKey,
    publicKey: pair.publicKey,
    signingAlgorithm: { name: "ECDSA", hash },
    extensions: [
      ...extensions,
      await x509.SubjectKeyIdentifierExtension.create(pair.publicKey),
      await x509.AuthorityKeyIdentifierExtension.create(issuer.keys.publicKey),
    ],
  });
  const pkcs8 = Buffer.from(await webcrypto.subtle.exportKey("pkcs8", pair.privateKey));
  const key = createPrivateKey({ key: pkcs8, format: "der", type: "pkcs8" });
  return {
    name,
    keys: pair,
    above: `${certificate.toString("pem")}\n${issuer.above}`,
    key: key.export({ format: "pem", type: "pkcs8" }),
  };
}

const basic = (ca: boolean, length?: number) =>
  new x509.BasicConstraintsExtension(ca, length, true);
const usage = (flags: number) => new x509.KeyUsagesExtension(flags, true);
const purpose = (...oids: string[]) => new x509.ExtendedKeyUsageExtension(oids);
const unknown = (critical: boolean) =>
  new x509.Extension("1.3.6.1.4.1.99999.1", critical, new Uint8Array([5, 0]));
const between = (name: string, ...extensions: x509.Extension[]): Made => ({
  name,
  extensions: [basic(true), usage(SIGN), ...extensions],
});
const short = (name: string): Made => ({
  name,
  extensions: [basic(true, 0), usage(SIGN)],
});
const names = (type: "dns" | "email", value: string): Made => ({
  extensions: [new x509.SubjectAlternativeNameExtension([{ type, value }])],
});

function constrained(kind: "permitted" | "excluded", name: Partial<GeneralName>): x509.Extension {
  const base = new GeneralName(name);
  const trees = new GeneralSubtrees([new GeneralSubtree({ base })]);
  const value =
    kind === "permitted"
      ? new NameConstraints({ permittedSubtrees: trees })
      : new NameConstraints({ excludedSubtrees: trees });
  return new x509.Extension("2.5.29.30", true, AsnConvert.serialize(value));
}

const mail = constrained("permitted", { rfc822Name: "example.com" });
const host = constrained("permitted", { dNSName: "good.example" });
const notHost = constrained("excluded", { dNSName: "bad.example" });

/** From the CA down to the client. */
const accepted: Record<string, readonly Made[]> = {
  "of the CA itself": [{}],
  "below an intermediate": [between("CN=i"), {}],
  "within names that are permitted": [between("CN=i", host), names("dns", "a.good.example")],
  "with a mailbox that is permitted": [between("CN=i", mail), names("email", "a@example.com")],
  "beside names that are excluded": [between("CN=i", notHost), names("dns", "a.good.example")],
  "at the length that is left": [short("CN=i"), {}],
  "below a self-issued intermediate, which no length counts": [short("CN=i"), between("CN=i"), {}],
  "with the name of the CA": [{ name: "CN=Clients" }],
  "for clients, of an intermediate for clients": [
    between("CN=i", purpose(CLIENT)),
    { extensions: [purpose(CLIENT)] },
  ],
  "with an extension that nobody has to know": [{ extensions: [unknown(false)] }],
  "with a key of 2048 bits": [{ bits: 2048 }],
};

const malformed: Made = {
  extensions: [new x509.Extension("2.5.29.17", false, Buffer.from("ffffff", "hex"))],
};

const refused: Record<string, readonly Made[]> = {
  "with alternative names that are none": [malformed],
  "outside the names that are permitted": [between("CN=i", host), names("dns", "a.bad.example")],
  "with a mailbox that is not permitted": [between("CN=i", mail), names("email", "a@example.net")],
  "with a name that is excluded": [between("CN=i", notHost), names("dns", "a.bad.example")],
  "one below the length that is left": [short("CN=i"), between("CN=j"), {}],
  "for servers": [{ extensions: [purpose(SERVER)] }],
  "for any purpose, and none by name": [{ extensions: [purpose(ANY)] }],
  "of an intermediate for servers": [
    between("CN=i", purpose(SERVER)),
    { extensions: [purpose(CLIENT)] },
  ],
  "of an intermediate that has ended": [
    { ...between("CN=i"), notAfter: new Date(Date.now() - HOUR) },
    {},
  ],
  "with a critical extension that nobody knows": [{ extensions: [unknown(true)] }],
  "of an intermediate with such an extension": [between("CN=i", unknown(true)), {}],
  "signed with SHA-1": [{ hash: "SHA-1" }],
  "of an intermediate signed with SHA-1": [{ ...between("CN=i"), hash: "SHA-1" }, {}],
  "with a key of 1024 bits": [{ bits: 1024 }],
  "of one that is no CA": [{ name: "CN=i", extensions: [basic(false)] }, {}],
  "of one that says nothing of CAs": [{ name: "CN=i" }, {}],
  "of a CA that may not sign certificates": [
    { name: "CN=i", extensions: [basic(true), usage(x509.KeyUsageFlags.cRLSign)] },
    {},
  ],
};

async function answered(chain: readonly Made[]): Promise<[number, string]> {
  let issuer: Issuer & { key?: string } = root;
  for (const made of chain) issuer = await make(issuer, made);
  return new Promise((resolve, reject) => {
    request(
      {
        host: "127.0.0.1",
        port,
        servername: HOST,
        ca: servers.pem,
        agent: false,
        headers: { host: `${HOST}:${port}` },
        cert: issuer.above,
        key: issuer.key,
        // The client presents certificates that a careful one would not.
        ciphers: "DEFAULT@SECLEVEL=0",
      },
      (response) => {
        textOf(response).then((text) => resolve([response.statusCode!, text]), reject);
      },
    )
      .on("error", reject)
      .end();
  });
}

for (const [kind, chain] of Object.entries(accepted)) {
  test(`a client's certificate ${kind} comes in`, async () => {
    assert.deepEqual(await answered(chain), [200, "SUCCESS"]);
  });
}

for (const [kind, chain] of Object.entries(refused)) {
  test(`a client's certificate ${kind} does not`, async () => {
    const [status, text] = await answered(chain);
    assert.equal(status, 403, text);
    assert.match(text, /client_certificate_(untrusted|expired)/);
  });
}

test("over HTTP/2 too, a client whose certificate is malformed is told that it is refused", async () => {
  const client = await make(root, malformed);
  const statuses = await Promise.all(Array.from({ length: 24 }, () => statusOverHttp2(client)));
  assert.deepEqual(new Set(statuses), new Set([403]));
});

/** Its first request goes out with the last bytes of the handshake. 0: the connection was cut. */
function statusOverHttp2({ above, key }: { readonly above: string; readonly key: string }) {
  const session = connect(`https://127.0.0.1:${port}`, {
    servername: HOST,
    ca: servers.pem,
    cert: above,
    key,
  }).on("error", () => {});
  return new Promise<number>((resolve) => {
    let status = 0;
    session
      .request({ ":authority": `${HOST}:${port}` })
      .on("response", (headers) => (status = Number(headers[":status"])))
      .on("error", () => {})
      .on("close", () => {
        session.destroy();
        resolve(status);
      })
      .resume();
  });
}
