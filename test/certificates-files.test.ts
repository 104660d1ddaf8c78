import assert from "node:assert/strict";
import { createPublicKey, X509Certificate } from "node:crypto";
import { after, before, describe, it } from "node:test";
import { isVersion1 } from "../src/certificates/shown.ts";
import { parseUpload } from "../src/certificates/parse.ts";
import type { CertificateUpload, ParsedUpload } from "../src/certificates/certificate-upload.ts";
import type { FailureCode } from "../src/failures/failures.ts";
import { issueAuthority } from "./helpers/keys.ts";
import { openOpenssl, type OpensslFolder } from "./helpers/openssl.ts";
import { makeAuthority, type TestAuthority, type TestCertificate } from "./helpers/pki.ts";
import { refusal } from "./helpers/refusal.ts";

let authority: TestAuthority;
let client: TestCertificate;
let openssl: OpensslFolder;

before(async () => {
  authority = await makeAuthority();
  client = await authority.issue({ subject: "CN=client" });
  openssl = await openOpenssl();
  await openssl.write("client.pem", client.pem);
  await openssl.write("key.pem", client.key);
  await openssl.write("ca.pem", authority.pem);
  await openssl.write("ca.key", authority.keyPem);
});

after(() => openssl[Symbol.asyncDispose]());

/** The client's certificate and key, with the fields that the test changes. */
function upload(fields: Partial<CertificateUpload>): ParsedUpload {
  return parseUpload({
    certificates: client.pem,
    privateKey: client.key,
    ca: false,
    now: new Date(),
    ...fields,
  });
}

describe("a PEM file is accepted", () => {
  const changes: Readonly<Record<string, (pem: string) => string>> = {
    "as it is": (pem) => pem,
    "with CRLF line ends": (pem) => pem.replaceAll("\n", "\r\n"),
    "with CR line ends": (pem) => pem.replaceAll("\n", "\r"),
    "with a byte order mark": (pem) => `\uFEFF${pem}`,
    "with text before and after it": (pem) => `Bag Attributes\n  name: x\n${pem}The end.\n`,
    indented: (pem) => pem.replaceAll(/^/gm, "    "),
    "with spaces at the ends of lines": (pem) => pem.replaceAll("\n", "  \t\n"),
    "with empty lines within it": (pem) => pem.replaceAll("\n", "\n\n"),
    "without a line end at its end": (pem) => pem.trimEnd(),
    "with its base64 on one line": (pem) =>
      pem.replace(/(-----\n)([^-]+)(\n-----)/, (_, a: string, b: string, c: string) =>
        [a, b.replaceAll("\n", ""), c].join(""),
      ),
    "with RFC 1421 headers": (pem) =>
      pem.replace("-----\n", "-----\nComment: made by hand\nX-Y: z\n\n"),
  };
  for (const [name, change] of Object.entries(changes)) {
    it(name, () => {
      const parsed = upload({ certificates: change(client.pem), privateKey: change(client.key) });
      assert(parsed.kind === "leaf");
      assert.equal(parsed.chain, client.pem);
      assert.equal(parsed.privateKey, client.key);
    });
  }

  it("as `openssl x509 -text` writes it", async () => {
    const certificates = await openssl.run(["x509", "-text", "-in", "client.pem"]);
    assert.match(certificates, /^Certificate:\n {4}Data:/);
    upload({ certificates });
  });

  it("with the label of old OpenSSL", () => {
    upload({ certificates: client.pem.replaceAll(" CERTIFICATE", " X509 CERTIFICATE") });
  });

  it("with an EC key as `openssl ecparam -genkey` writes it, parameters first", async () => {
    const parameters = await openssl.run(["ecparam", "-name", "prime256v1"]);
    const traditional = await openssl.run(["pkey", "-in", "key.pem", "-traditional"]);
    assert.match(traditional, /BEGIN EC PRIVATE KEY/);
    const parsed = upload({ privateKey: parameters + traditional });
    assert(parsed.kind === "leaf");
    assert.equal(parsed.privateKey, client.key);
  });

  it("with an RSA key in PKCS #1", async () => {
    const rsa = await authority.issue({ subject: "CN=rsa", algorithm: "RSA-2048" });
    await openssl.write("rsa.pem", rsa.key);
    const privateKey = await openssl.run(["pkey", "-in", "rsa.pem", "-traditional"]);
    assert.match(privateKey, /BEGIN RSA PRIVATE KEY/);
    const parsed = upload({ certificates: rsa.pem, privateKey });
    assert(parsed.kind === "leaf");
    assert.equal(parsed.privateKey, rsa.key);
  });
});

describe("a file is refused", () => {
  const cases: Readonly<
    Record<string, readonly [FailureCode, () => Partial<CertificateUpload>, RegExp]>
  > = {
    "that is empty": ["pem_missing", () => ({ certificates: " \n" }), /`certificates`\) is empty$/],
    "that is no PEM": ["pem_missing", () => ({ certificates: "hello" }), /has no line/],
    "whose key is no PEM": [
      "pem_missing",
      () => ({ privateKey: "hello" }),
      /`private_key`\) has no/,
    ],
    "that is DER": [
      "pem_missing",
      () => ({ certificates: derOf(client.pem).toString("latin1") }),
      /looks like binary DER/,
    ],
    "that is DER read as UTF-8": [
      "pem_missing",
      () => ({ certificates: derOf(client.pem).toString("utf8") }),
      /looks like binary DER/,
    ],
    'with "\\n" in place of line ends': [
      "pem_missing",
      () => ({ certificates: client.pem.replaceAll("\n", "\\n") }),
      /the two characters "\\n"/,
    ],
    "that was cut off": [
      "pem_malformed",
      () => ({ certificates: client.pem.slice(0, -30) }),
      /line 1: "BEGIN CERTIFICATE" has no END: the file was cut off$/,
    ],
    "whose END is missing before the next BEGIN": [
      "pem_malformed",
      () => ({ certificates: client.pem.replace(/-----END.*\n/, "") + authority.pem }),
      /"-----BEGIN CERTIFICATE-----" stands where it does not belong$/,
    ],
    "with an END of another label": [
      "pem_malformed",
      () => ({ certificates: client.pem.replace("END CERTIFICATE", "END PUBLIC KEY") }),
      /"-----END PUBLIC KEY-----" stands/,
    ],
    "with an END but no BEGIN": [
      "pem_malformed",
      () => ({ certificates: `${client.pem}-----END CERTIFICATE-----\n` }),
      /"-----END CERTIFICATE-----" stands/,
    ],
    "with a character that is not base64": [
      "pem_malformed",
      () => ({ certificates: client.pem.replace("\nMII", "\nM*I") }),
      /the "CERTIFICATE" block is not base64$/,
    ],
    "with base64 that lost a character": [
      "pem_malformed",
      () => ({ certificates: client.pem.replace("\nMII", "\nMI") }),
      /is not base64/,
    ],
    "with nothing between BEGIN and END": [
      "pem_malformed",
      () => ({ certificates: "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n" }),
      /is not base64/,
    ],
    "with a certificate that is cut off within": [
      "certificate_malformed",
      () => ({ certificates: pemOf("CERTIFICATE", derOf(client.pem).subarray(0, -1)) }),
      /^certificate 1 in the certificate file \(`certificates`\), line 1, is not/,
    ],
    "with bytes after the certificate": [
      "certificate_malformed",
      () => ({ certificates: pemOf("CERTIFICATE", withTail(derOf(client.pem))) }),
      /is not a well-formed/,
    ],
    "with a second certificate that is malformed": [
      "certificate_malformed",
      () => ({ certificates: client.pem + pemOf("CERTIFICATE", Buffer.from("3003020101", "hex")) }),
      /^certificate 2 in the certificate file/,
    ],
    "with bytes after the key": [
      "private_key_malformed",
      () => ({ privateKey: pemOf("PRIVATE KEY", withTail(derOf(client.key))) }),
      /^the private key in the key file \(`private_key`\), line 1, is not a well-formed "PRIVATE KEY"$/,
    ],
    "with a key that is cut off within": [
      "private_key_malformed",
      () => ({ privateKey: pemOf("PRIVATE KEY", derOf(client.key).subarray(0, -1)) }),
      /is not a well-formed/,
    ],
    "with a certificate under the label of a key": [
      "private_key_malformed",
      () => ({ privateKey: client.pem.replaceAll("CERTIFICATE", "PRIVATE KEY") }),
      /is not a well-formed/,
    ],
    "with a key under the label of a certificate": [
      "certificate_malformed",
      () => ({ certificates: client.key.replaceAll("PRIVATE KEY", "CERTIFICATE") }),
      /is not a well-formed/,
    ],
    "with an unknown label": [
      "pem_label_unexpected",
      () => ({ certificates: client.pem + pemOf("WEIRD THING", Buffer.from("x")) }),
      /"WEIRD THING" is neither/,
    ],
  };
  for (const [name, [code, fields, message]] of Object.entries(cases)) {
    it(name, () => {
      upload({});
      refusal(code, () => upload(fields()), message);
    });
  }

  const converted: Readonly<Record<string, readonly [readonly string[], RegExp]>> = {
    "TRUSTED CERTIFICATE": [["x509", "-in", "client.pem", "-trustout"], /openssl x509/],
    "PUBLIC KEY": [["pkey", "-in", "key.pem", "-pubout"], /Send the private key/],
    "CERTIFICATE REQUEST": [["req", "-new", "-key", "key.pem", "-subj", "/CN=x"], /what the CA/],
    PKCS7: [["crl2pkcs7", "-nocrl", "-certfile", "client.pem"], /openssl pkcs7/],
  };
  for (const [label, [command, fix]] of Object.entries(converted)) {
    it(`with a ${label} as openssl writes it, saying what to do`, async () => {
      const certificates = await openssl.run(command);
      assert.match(certificates, new RegExp(`BEGIN ${label}`));
      const refused = refusal("pem_label_unexpected", () => upload({ certificates }));
      assert.match(refused.fix, fix);
    });
  }

  it("with an encrypted key, of PKCS #8 and of old OpenSSL, naming the CLI", async () => {
    const pass = ["-passout", "pass:secret"];
    for (const [command, label] of [
      [["pkcs8", "-topk8", "-in", "key.pem", ...pass], /BEGIN ENCRYPTED PRIVATE KEY/],
      [["ec", "-in", "key.pem", "-aes128", ...pass], /Proc-Type: 4,ENCRYPTED/],
    ] as const) {
      const privateKey = await openssl.run(command);
      assert.match(privateKey, label);
      const refused = refusal("private_key_encrypted", () => upload({ privateKey }));
      assert.match(refused.fix, /countersign certificate upload/);
    }
  });
});

describe("what only openssl makes", () => {
  it("an X.509 v1 certificate is taken with a warning as a leaf, and refused as a CA", async () => {
    await openssl.run(["req", "-new", "-key", "key.pem", "-subj", "/CN=v1", "-out", "v1.csr"]);
    const issue = ["x509", "-req", "-in", "v1.csr", "-CA", "ca.pem", "-CAkey", "ca.key"];
    const v1 = await openssl.run([...issue, "-set_serial", "1"]);
    await openssl.write("v3.ext", "basicConstraints=CA:FALSE\n");
    const v3 = await openssl.run([...issue, "-set_serial", "1", "-extfile", "v3.ext"]);
    upload({ certificates: v3 });
    assert.ok(upload({ certificates: v1 }).warnings.some(({ code }) => code === "version_1"));
    assert.ok(isVersion1(new X509Certificate(v1)) && !isVersion1(new X509Certificate(v3)));
    refusal(
      "certificate_version_unsupported",
      () => upload({ certificates: v1, ca: true, privateKey: "" }),
      /^certificate 1 \(CN=v1\) is X.509 version 1 where a CA needs version 3$/,
    );
  });

  it("a certificate that is signed with SHA-1 is refused, a root is not", async () => {
    const extensions = ["-addext", "basicConstraints=critical,CA:TRUE"];
    const self = ["req", "-x509", "-key", "ca.key", "-subj", "/CN=Old", "-sha1", ...extensions];
    const root = await openssl.run(self);
    assert(upload({ certificates: root, privateKey: "", ca: true }).kind === "ca");
    await openssl.run(["req", "-new", "-key", "key.pem", "-subj", "/CN=sha1", "-out", "sha1.csr"]);
    await openssl.write("sha1.ext", "basicConstraints=CA:FALSE\n");
    const issue = ["x509", "-req", "-in", "sha1.csr", "-CA", "ca.pem", "-CAkey", "ca.key"];
    const rest = ["-set_serial", "2", "-extfile", "sha1.ext"];
    upload({ certificates: await openssl.run([...issue, ...rest, "-sha256"]) });
    const sha1 = await openssl.run([...issue, ...rest, "-sha1"]);
    refusal(
      "signature_too_weak",
      () => upload({ certificates: sha1 }),
      /^certificate 1 \(CN=sha1\) is signed with ecdsa-with-SHA1$/,
    );
  });

  it("a self-signed client certificate is complete, and a CA unless it says otherwise", async () => {
    const self = ["req", "-x509", "-key", "key.pem", "-subj", "/CN=self"];
    const plain = await openssl.run(self);
    const warned = upload({ certificates: plain }).warnings.find(
      ({ code }) => code === "leaf_is_ca",
    );
    const option = /-addext ([^`\s]+)/.exec(warned?.message ?? "")?.[1] ?? "";
    const leaf = await openssl.run([...self, "-days", "90", "-addext", option]);
    assert.deepEqual(upload({ certificates: leaf }).warnings, []);
  });

  it("a self-signed origin that is no CA is taken as a CA, with a warning", async () => {
    const self = ["req", "-x509", "-key", "ca.key", "-subj", "/CN=CA", "-days", "90"];
    const signs = await openssl.run([...self, "-addext", "keyUsage=keyCertSign"]);
    assert.deepEqual(upload({ certificates: signs, privateKey: "", ca: true }).warnings, []);
    for (const extension of ["keyUsage=digitalSignature", "basicConstraints=critical,CA:FALSE"]) {
      const not = await openssl.run([...self, "-addext", extension]);
      const { warnings } = upload({ certificates: not, privateKey: "", ca: true });
      assert.deepEqual([extension, warnings[0]?.code], [extension, "trusted_as_itself"]);
    }
  });

  it("a chain over an intermediate that is no CA is refused, over a restricted one warned of", async () => {
    await openssl.run(["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "mid.key"]);
    await openssl.run(["req", "-new", "-key", "mid.key", "-subj", "/CN=mid", "-out", "mid.csr"]);
    await openssl.run(["req", "-new", "-key", "key.pem", "-subj", "/CN=end", "-out", "end.csr"]);
    await openssl.write("end.ext", "basicConstraints=CA:FALSE\n");
    const chainOver = async (extensions: string): Promise<string> => {
      await openssl.write("mid.ext", extensions);
      const byRoot = ["x509", "-req", "-in", "mid.csr", "-CA", "ca.pem", "-CAkey", "ca.key"];
      const mid = await openssl.run([
        ...byRoot,
        "-set_serial",
        "3",
        "-extfile",
        "mid.ext",
        "-days",
        "60",
      ]);
      await openssl.write("mid.pem", mid);
      const byMid = ["x509", "-req", "-in", "end.csr", "-CA", "mid.pem", "-CAkey", "mid.key"];
      return (
        (await openssl.run([...byMid, "-set_serial", "4", "-extfile", "end.ext", "-days", "60"])) +
        mid
      );
    };
    const authorities = [authority.pem];
    const warnings = async (extensions: string): Promise<readonly string[]> =>
      upload({ certificates: await chainOver(extensions), authorities }).warnings.map(
        ({ code }) => code,
      );
    assert.deepEqual(await warnings("basicConstraints=CA:TRUE"), []);
    const restricted = "basicConstraints=CA:TRUE\nextendedKeyUsage=serverAuth";
    assert.deepEqual(await warnings(restricted), ["client_auth_missing"]);
    const plain = await chainOver("basicConstraints=CA:FALSE");
    refusal("authority_not_ca", () => upload({ certificates: plain }), /^certificate 2 \(CN=mid\)/);
  });

  it("an RSA key beyond 8192 bits is refused", async () => {
    // Nobody has the private half: the modulus is some odd number of that size.
    const n = Buffer.alloc(1032, 0xc5).toString("base64url");
    const big = createPublicKey({ key: { kty: "RSA", n, e: "AQAB" }, format: "jwk" });
    const certificates = await issueAuthority(authority, big);
    refusal(
      "key_size_unsupported",
      () => upload({ certificates, privateKey: "", ca: true }),
      /RSA key of 8256 bits where 2048 to 8192 are allowed$/,
    );
  });

  it("two certificates over one key are not a chain", async () => {
    const self = [
      "req",
      "-x509",
      "-key",
      "key.pem",
      "-days",
      "90",
      "-addext",
      "basicConstraints=CA:FALSE",
    ];
    const older = await openssl.run([...self, "-subj", "/CN=older"]);
    const newer = await openssl.run([...self, "-subj", "/CN=newer"]);
    refusal("chain_unrelated", () => upload({ certificates: newer + older }), /CN=older/);
  });

  it("the names of a certificate are printed as Cloudflare prints them", async () => {
    const subject = "/C=AU/ST=Some-State/O=Internet Widgits Pty Ltd";
    const names = ["DNS:api.example.com", "IP:10.0.0.1", "IP:2001:db8::1", "URI:spiffe://acme/a"];
    const extensions = `basicConstraints=CA:TRUE\nsubjectAltName=${names.join(",")},email:a@example.com,dirName:x`;
    await openssl.write(
      "san.cnf",
      `[req]\ndistinguished_name=x\nx509_extensions=v3\n[v3]\n${extensions}\n[x]\nCN=x\n`,
    );
    const self = ["req", "-x509", "-key", "ca.key", "-subj", subject, "-set_serial", "0x0b01"];
    const { facts } = upload({
      certificates: await openssl.run([...self, "-config", "san.cnf", "-days", "90"]),
      privateKey: "",
      ca: true,
    });
    assert.equal(facts.issuer, "O=Internet Widgits Pty Ltd,ST=Some-State,C=AU");
    assert.equal(facts.serialNumber, "2817");
    assert.equal(facts.signature, "ECDSAWithSHA256");
    assert.deepEqual(facts.names, [...names, "email:a@example.com"]);
  });
});

function derOf(pem: string): Buffer {
  return Buffer.from(pem.replaceAll(/-----.*-----|\s/g, ""), "base64");
}

function pemOf(label: string, der: Buffer): string {
  return `-----BEGIN ${label}-----\n${der.toString("base64")}\n-----END ${label}-----\n`;
}

function withTail(der: Buffer): Buffer {
  return Buffer.concat([der, Buffer.from([0])]);
}
