import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { X509Certificate } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import * as fc from "fast-check";
import { mutate, type Mutation } from "../../test/helpers/mutate.ts";
import { makeAuthority, type TestAuthority } from "../../test/helpers/pki.ts";
import { type PresentedChain, tlsClientAuth } from "./client-certificate.ts";

let folder: string;
let authority: TestAuthority;
before(async () => {
  folder = mkdtempSync(join(tmpdir(), "client-certificate-"));
  authority = await makeAuthority();
});
after(() => rmSync(folder, { recursive: true }));

function openssl(...args: string[]): string {
  return execFileSync("openssl", args, { cwd: folder, encoding: "utf8", stdio: "pipe" }).replace(
    /\n$/,
    "",
  );
}

/** Made by OpenSSL. @param subject as its configuration has it, a line each */
function made(subject: string, extensions = "subjectKeyIdentifier = hash"): X509Certificate {
  const config = `[req]\nprompt = no\nstring_mask = MASK:0xFFFFFFFF\nutf8 = yes\ndistinguished_name = dn\nx509_extensions = ext\n[dn]\n${subject}\n[ext]\n${extensions}\n`;
  writeFileSync(join(folder, "c.cnf"), config);
  openssl(
    ..."req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 9".split(" "),
    ..."-config c.cnf -keyout k.pem -out c.pem".split(" "),
  );
  return new X509Certificate(readFileSync(join(folder, "c.pem")));
}

function shown(leaf: X509Certificate, rest: Partial<PresentedChain> = {}) {
  return tlsClientAuth({ leaf, chain: [], issuer: null, error: null, isRevoked: false, ...rest });
}

function plain(text: string): string {
  return text.replaceAll(":", "").toLowerCase();
}

function uris(extension: string): unknown {
  return shown(made("CN = x", extension)).certSANURIs;
}

/** What `openssl x509` says of `c.pem`: a line for each thing that it is asked for, in its own order. */
function told(...args: string[]): string[] {
  const lines = openssl("x509", "-in", "c.pem", "-noout", ...args).split("\n");
  return lines.map((line) => line.replace(/^[^=]*=\s*/, ""));
}

const subjects = {
  plain: "C = US\nO = Acme\nCN = client",
  "of two values": "O = Acme\nCN = client\n+UID = 17",
  "of signs with a meaning": 'O = "a,b+c;d<e>f\\\\g"\nCN = "#first/second=\\"x\\""\nOU = "\\ x\\ "',
  "of other letters": "O = Žluťoučký 株式会社\nCN = naïve",
  "of an attribute that OpenSSL does not know": "1.2.3.4.5 = value\nCN = client",
  "of a mail address": "emailAddress = a@example.com\nDC = example",
};

describe("a client's certificate is shown as OpenSSL shows it", () => {
  for (const [kind, subject] of Object.entries(subjects)) {
    it(`with a name ${kind}`, () => {
      const tls = shown(made(subject));
      const names = [tls.certSubjectDN, tls.certIssuerDNRFC2253];
      assert.deepEqual(names, told("-subject", "-issuer", "-nameopt", "RFC2253"));
      assert.equal(tls.certSubjectDNRFC2253, tls.certSubjectDN);
      const legacy = [tls.certSubjectDNLegacy, tls.certIssuerDNLegacy];
      assert.deepEqual(legacy, told("-subject", "-issuer", "-nameopt", "compat"));
      assert.match(JSON.stringify(tls), /^[\x20-\x7e]*$/);
    });
  }

  it("with serial number, dates, fingerprints and key identifier", () => {
    const tls = shown(made(subjects.plain));
    const [serial, notBefore, notAfter, sha1 = ""] = told(
      ..."-serial -startdate -enddate -fingerprint -sha1".split(" "),
    );
    assert.deepEqual(
      [tls.certSerial, tls.certNotBefore, tls.certNotAfter, tls.certFingerprintSHA1],
      [serial, notBefore, notAfter, plain(sha1)],
    );
    const [sha256 = "", , identifier = ""] = told(
      ..."-fingerprint -sha256 -ext subjectKeyIdentifier".split(" "),
    );
    assert.equal(tls.certFingerprintSHA256, plain(sha256));
    assert.equal(tls.certSKI, identifier.trim().replaceAll(":", ""));
    assert.match(String(tls.certNotAfter), /^[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \d{4} GMT$/);
  });

  it("with its issuer's serial number and key identifier", async () => {
    const leaf = new X509Certificate((await authority.issue({ subject: "CN=client" })).pem);
    const issuer = new X509Certificate(authority.pem);
    const known = shown(leaf, { issuer });
    assert.equal(known.certIssuerSerial, issuer.serialNumber);
    assert.equal(known.certIssuerSKI, shown(issuer).certSKI);
    // Its own extension names the key, and not the number.
    const unknown = shown(leaf);
    assert.deepEqual([unknown.certIssuerSerial, unknown.certIssuerSKI], ["", known.certIssuerSKI]);
  });

  it("with all of its URI names, or none where one cannot be told", () => {
    assert.deepEqual(uris("subjectAltName = URI:spiffe://a/b, DNS:x.test, URI:spiffe://a/c"), [
      "spiffe://a/b",
      "spiffe://a/c",
    ]);
    assert.deepEqual(uris("subjectAltName = URI:spiffe://a/b, URI:spiffe://a/c d"), []);
    assert.deepEqual(uris("basicConstraints = CA:FALSE"), []);
  });

  it("without a subject", async () => {
    const { pem } = await authority.issue({ subject: "", uris: ["spiffe://acme/x"] });
    const tls = shown(new X509Certificate(pem));
    assert.deepEqual([tls.certSubjectDN, tls.certSubjectDNLegacy], ["", ""]);
    assert.equal(tls.certIssuerDN, "CN=Test Root CA");
    assert.deepEqual(tls.certSANURIs, ["spiffe://acme/x"]);
  });

  it("in version 1", () => {
    openssl(
      ..."req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout k.pem -out r.pem -subj /O=Acme/CN=old".split(
        " ",
      ),
    );
    openssl(..."x509 -req -in r.pem -signkey k.pem -days 9 -out c.pem".split(" "));
    const tls = shown(new X509Certificate(readFileSync(join(folder, "c.pem"))));
    assert.deepEqual([tls.certSubjectDN, tls.certSKI], ["CN=old,O=Acme", ""]);
    assert.equal(tls.certSubjectDNLegacy, "/O=Acme/CN=old");
  });
});

describe("the verdict is in Cloudflare's words", () => {
  const verdicts = {
    DEPTH_ZERO_SELF_SIGNED_CERT: "FAILED:self signed certificate",
    UNABLE_TO_VERIFY_LEAF_SIGNATURE: "FAILED:unable to verify the first certificate",
    UNABLE_TO_GET_ISSUER_CERT_LOCALLY: "FAILED:unable to get local issuer certificate",
    CERT_NOT_YET_VALID: "FAILED:certificate is not yet valid",
    CERT_HAS_EXPIRED: "FAILED:certificate has expired",
    INVALID_PURPOSE: "FAILED",
  };
  for (const [error, verdict] of Object.entries(verdicts)) {
    it(verdict, () => {
      const leaf = new X509Certificate(authority.pem);
      assert.equal(shown(leaf, { error }).certVerified, verdict);
    });
  }

  it("a revoked certificate is valid and revoked; an invalid certificate is not called revoked", () => {
    const leaf = new X509Certificate(authority.pem);
    const revoked = shown(leaf, { isRevoked: true });
    assert.deepEqual([revoked.certVerified, revoked.certRevoked], ["SUCCESS", "1"]);
    const both = shown(leaf, { isRevoked: true, error: "CERT_HAS_EXPIRED" });
    assert.equal(both.certRevoked, "0");
  });
});

describe("the forms of RFC 9440", () => {
  it("hold the certificate and its chain, leaf apart", () => {
    const leaf = new X509Certificate(authority.pem);
    const tls = shown(leaf, { chain: [leaf, leaf] });
    const form = `:${leaf.raw.toString("base64")}:`;
    assert.deepEqual([tls.certRFC9440, tls.certChainRFC9440], [form, `${form}, ${form}`]);
    assert.deepEqual([tls.certRFC9440TooLarge, tls.certChainRFC9440TooLarge], [false, false]);
  });

  it("are empty and said to be too large beyond 10 KiB and 16 KiB", () => {
    const large = made("CN = x", `nsComment = "${"x".repeat(8_000)}"`);
    const small = new X509Certificate(authority.pem);
    const tls = shown(large, { chain: Array.from({ length: 40 }, () => small) });
    assert.deepEqual([tls.certRFC9440, tls.certRFC9440TooLarge], ["", true]);
    assert.deepEqual([tls.certChainRFC9440, tls.certChainRFC9440TooLarge], ["", true]);
  });
});

it("a certificate of any bytes is shown, in bounded length", async () => {
  const { pem } = await authority.issue({ subject: "CN=a,O=b", uris: ["spiffe://acme/client"] });
  const seed = new X509Certificate(pem).raw;
  const mutation: fc.Arbitrary<Mutation> = fc.record({
    kind: fc.constantFrom("flip", "set", "copy"),
    at: fc.nat(seed.length),
    value: fc.nat(255),
  });
  fc.assert(
    fc.property(fc.array(mutation, { minLength: 1, maxLength: 6 }), (changes) => {
      let leaf: X509Certificate;
      try {
        leaf = new X509Certificate(mutate(seed, changes));
      } catch {
        return;
      }
      const text = JSON.stringify(shown(leaf, { chain: [leaf], issuer: leaf }));
      assert.match(text, /^[\x20-\x7e]{1,60000}$/);
    }),
    { numRuns: 300 },
  );
});
