import assert from "node:assert/strict";
import { X509Certificate, webcrypto } from "node:crypto";
import * as x509 from "../certificates/x509.ts";
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test, { after, before } from "node:test";
import { readFeed, type FeedPayload } from "../../packages/origin/src/feed.ts";
import { makeRequest, makeRoot, signIntermediate, type SigningAuthority } from "./authority.ts";
import { spiffeBundle } from "./bundle.ts";
import { makeCrl } from "./crl.ts";
import { makeFeedSigner } from "./feed-signer.ts";
import { issueClient, issueIdentity, issuePerson } from "./issue.ts";

const names = { account: "acme", trustDomain: "example.org" };
const now = new Date();
const spiffeId = "spiffe://example.org/account/acme/worker/a";

let folder: string;
let root: SigningAuthority;
let intermediate: SigningAuthority;

before(async () => {
  folder = mkdtempSync(join(tmpdir(), "identity-"));
  root = await makeRoot(names, now);
  intermediate = await intermediateOf(root);
});

after(() => rmSync(folder, { recursive: true }));

async function intermediateOf(above: SigningAuthority): Promise<SigningAuthority> {
  const { csr, key } = await makeRequest("x", "y");
  return { chain: await signIntermediate(above, csr, { ...names, now }), key };
}

async function issueA(lifetime?: number) {
  const { csr } = await makeRequest("forged", "forged");
  return issueIdentity(intermediate, {
    csr,
    spiffeId,
    worker: "a",
    account: "acme",
    now,
    ...(lifetime && { lifetime }),
  });
}

function openssl(...args: string[]): string {
  return execFileSync("openssl", args, {
    cwd: folder,
    encoding: "utf8",
    stdio: ["ignore", "pipe", "pipe"],
  });
}

test("an identity follows the rules of an X509-SVID, as OpenSSL reads it", async () => {
  const { chain, notAfter, serialNumber } = await issueA();
  writeFileSync(join(folder, "leaf.pem"), chain);
  const text = openssl("x509", "-in", "leaf.pem", "-noout", "-text", "-nameopt", "RFC2253");
  assert.match(text, /Subject: CN=a,O=acme\n/);
  assert.match(text, /Basic Constraints: critical\s+CA:FALSE/);
  assert.match(text, /Key Usage: critical\s+Digital Signature\s*\n/);
  assert.match(
    text,
    /Extended Key Usage:\s+TLS Web Client Authentication, TLS Web Server Authentication/,
  );
  assert.match(
    text,
    /Subject Alternative Name:[^\n]*\n\s+URI:spiffe:\/\/example\.org\/account\/acme\/worker\/a\n/,
  );
  assert.equal(new X509Certificate(chain).serialNumber, serialNumber);
  assert.equal(Math.round((notAfter.getTime() - now.getTime()) / 3_600_000), 24);
});

test("OpenSSL verifies the chain for both purposes, and not against another account's root", async () => {
  const { chain } = await issueA();
  const other = await makeRoot(names, now);
  writeFileSync(join(folder, "leaf.pem"), chain);
  writeFileSync(join(folder, "between.pem"), intermediate.chain);
  writeFileSync(join(folder, "root.pem"), root.chain);
  writeFileSync(join(folder, "other.pem"), other.chain);
  for (const purpose of ["sslclient", "sslserver"]) {
    const verified = openssl(
      "verify",
      "-x509_strict",
      "-purpose",
      purpose,
      "-CAfile",
      "root.pem",
      "-untrusted",
      "between.pem",
      "leaf.pem",
    );
    assert.match(verified, /leaf\.pem: OK/);
  }
  assert.throws(() =>
    openssl("verify", "-CAfile", "other.pem", "-untrusted", "between.pem", "leaf.pem"),
  );
});

test("an intermediate signs no further CA, and no leaf outlives it", async () => {
  const { csr, key } = await makeRequest("x", "y");
  const below = await signIntermediate(intermediate, csr, { ...names, account: "below", now });
  writeFileSync(join(folder, "below.pem"), below);
  const leafOfBelow = await issueIdentity(
    { chain: below, key },
    { csr, spiffeId, worker: "a", account: "acme", now },
  );
  writeFileSync(join(folder, "leaf.pem"), leafOfBelow.chain);
  writeFileSync(join(folder, "chain.pem"), below + intermediate.chain);
  writeFileSync(join(folder, "root.pem"), root.chain);
  assert.throws(
    () => openssl("verify", "-CAfile", "root.pem", "-untrusted", "chain.pem", "leaf.pem"),
    /path length/,
  );
  const { notAfter } = await issueA(100 * 365 * 86_400_000);
  assert.equal(notAfter.getTime(), new X509Certificate(intermediate.chain).validToDate.getTime());
});

test("a request whose subject is no text is refused", async () => {
  const csr = await x509.Pkcs10CertificateRequestGenerator.create({
    // A BMPString of a surrogate and a letter.
    name: [{ CN: ["#1e04d8000061"] }],
    keys: await webcrypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, true, [
      "sign",
      "verify",
    ]),
    signingAlgorithm: { name: "ECDSA", hash: "SHA-256" },
  });
  const request = { csr: csr.toString("pem"), account: "acme", now, days: 30 };
  await assert.rejects(issueClient(intermediate, request), {
    name: "TypeError",
    message: /half a surrogate pair/,
  });
});

test("a request that is none, is changed, or has another kind of key is refused", async () => {
  const { csr } = await makeRequest("a", "b");
  const der = Buffer.from(csr.replaceAll(/-----[^-]+-----|\s/g, ""), "base64");
  der[der.length - 3]! ^= 1;
  const changed = `-----BEGIN CERTIFICATE REQUEST-----\n${der.toString("base64")}\n-----END CERTIFICATE REQUEST-----\n`;
  const rsa = openssl(
    "req",
    "-new",
    "-newkey",
    "rsa:2048",
    "-nodes",
    "-keyout",
    "/dev/null",
    "-subj",
    "/CN=a",
  );
  for (const [bad, message] of [
    ["nonsense", /not a certificate request/],
    [changed, /signed with its own key|not a certificate request/],
    [rsa, /P-256/],
  ] as const) {
    await assert.rejects(
      issueIdentity(intermediate, { csr: bad, spiffeId, worker: "a", account: "acme", now }),
      message,
    );
  }
  const client = await issueClient(intermediate, { csr: rsa, account: "acme", now, days: 30 });
  assert.equal(new X509Certificate(client.chain).subject, "CN=a");
});

test("a client certificate takes no names over from its request: nobody asks for a Worker's ID", async () => {
  const csr = openssl(
    "req",
    "-new",
    "-newkey",
    "rsa:2048",
    "-nodes",
    "-keyout",
    "/dev/null",
    "-subj",
    "/O=acme/CN=device",
    "-addext",
    `subjectAltName=URI:${spiffeId}`,
  );
  const request = { csr, account: "acme", now, days: 30 };
  const { chain } = await issueClient(intermediate, request);
  assert.equal(new X509Certificate(chain).subjectAltName, undefined);
  assert.equal(new X509Certificate(chain).subject, "O=acme\nCN=device\nOU=client");
  const person = await issuePerson(intermediate, { ...request, trustDomain: "example.org" });
  const leaf = new X509Certificate(person.chain);
  assert.equal(leaf.subject, "O=acme\nOU=client\nCN=device");
  assert.equal(leaf.subjectAltName, "URI:spiffe://example.org/account/acme/client/device");
});

test("OpenSSL refuses what the revocation list names, and takes the others", async () => {
  const [revoked, good] = await Promise.all([issueA(), issueA()]);
  const crl = await makeCrl(intermediate, {
    revoked: [{ serialNumber: revoked.serialNumber, revokedOn: now }],
    number: 7,
    now,
  });
  writeFileSync(join(folder, "all.pem"), root.chain + crl);
  writeFileSync(join(folder, "between.pem"), intermediate.chain);
  writeFileSync(join(folder, "revoked.pem"), revoked.chain);
  writeFileSync(join(folder, "good.pem"), good.chain);
  const verify = (file: string) =>
    openssl("verify", "-crl_check", "-CAfile", "all.pem", "-untrusted", "between.pem", file);
  assert.match(verify("good.pem"), /OK/);
  assert.throws(() => verify("revoked.pem"), /certificate revoked/);
  writeFileSync(join(folder, "crl.pem"), crl);
  assert.match(openssl("crl", "-in", "crl.pem", "-noout", "-crlnumber"), /0x0?7\b/);
});

test("a bundle of SPIFFE's form holds each CA's key and certificate", () => {
  const bundle = spiffeBundle([root.chain], 3) as {
    spiffe_sequence: number;
    keys: { use: string; kty: string; x5c: string[] }[];
  };
  assert.equal(bundle.spiffe_sequence, 3);
  assert.deepEqual(
    bundle.keys.map(({ use, kty }) => [use, kty]),
    [["x509-svid", "EC"]],
  );
  assert.equal(
    new X509Certificate(Buffer.from(bundle.keys[0]!.x5c[0]!, "base64")).fingerprint256,
    new X509Certificate(root.chain).fingerprint256,
  );
});

const payload: FeedPayload = {
  cursor: 5,
  account: "acme",
  authorities: [],
  revoked: ["0A"],
  policy: { name: "p", version: 1, policy: { allow: [{ worker: "a" }] } },
};

test("an origin takes over a feed that its account signed, and no other", async () => {
  const signer = await makeFeedSigner(intermediate, { ...names, now });
  const sent = { ...payload, authorities: [root.chain] };
  const check = { account: "acme", authorities: [root.chain], after: 4, now };
  const feed = readFeed(signer.sign(sent), check);
  assert.deepEqual([feed.cursor, feed.revoked, feed.policy?.policy.allow.length], [5, ["0A"], 1]);

  const [head, , signature] = signer.sign(sent).split(".");
  const forged = Buffer.from(JSON.stringify({ ...sent, revoked: [] })).toString("base64url");
  const otherRoot = await makeRoot(names, now);
  const otherSigner = await makeFeedSigner(await intermediateOf(otherRoot), { ...names, now });
  const worker = await makeFeedSigner(intermediate, { ...names, account: "other", now });
  const later = new Date(now.getTime() + 48 * 3_600_000);
  const cases: [string, Parameters<typeof readFeed>[1], RegExp][] = [
    [`${head}.${forged}.${signature}`, check, /signature does not fit/],
    [otherSigner.sign(sent), check, /does not lead to a CA/],
    [worker.sign(sent), check, /not made for that/],
    [signer.sign({ ...sent, account: "other" }), check, /of account "other"/],
    [signer.sign(sent), { ...check, after: 6 }, /older/],
    [signer.sign(sent), { ...check, now: later }, /has expired/],
    [signer.sign({ ...sent, authorities: [] }), check, /names no CA/],
    [`${Buffer.from('{"alg":"none"}').toString("base64url")}.${forged}.`, check, /ES256/],
    ["a.b", check, /not a signed message/],
    ["%.%.%", check, /cannot be read/],
  ];
  for (const [jws, against, message] of cases) assert.throws(() => readFeed(jws, against), message);
});
