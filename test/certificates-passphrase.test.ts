import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { decryptKeys, hasEncryptedKey } from "../src/certificates/decrypt.ts";
import { readP12 } from "../src/certificates/p12.ts";
import { parseUpload } from "../src/certificates/parse.ts";
import { issueKind, type KeyedCertificate } from "./helpers/keys.ts";
import { openOpenssl, type OpensslFolder } from "./helpers/openssl.ts";
import { makeAuthority, type TestAuthority } from "./helpers/pki.ts";
import { refusal } from "./helpers/refusal.ts";

const now = new Date();
let issuing: TestAuthority;
let client: KeyedCertificate;
let openssl: OpensslFolder;

before(async () => {
  issuing = await (await makeAuthority()).intermediate("Issuing CA");
  client = await issueKind(issuing, "EC P-256");
  openssl = await openOpenssl();
  await openssl.write("key.pem", client.key);
});

after(() => openssl[Symbol.asyncDispose]());

describe("an encrypted private key", () => {
  const secret = ["-passout", "pass:secret"];
  const kinds: Readonly<Record<string, readonly string[]>> = {
    "PKCS #8 with AES": ["pkcs8", "-topk8", "-in", "key.pem", ...secret],
    "PKCS #8 with scrypt": ["pkcs8", "-topk8", "-scrypt", "-in", "key.pem", ...secret],
    "PKCS #8 with 3DES": ["pkcs8", "-topk8", "-v1", "PBE-SHA1-3DES", "-in", "key.pem", ...secret],
    "the PEM encryption of old OpenSSL": ["ec", "-aes128", "-in", "key.pem", ...secret],
  };
  for (const [kind, command] of Object.entries(kinds)) {
    it(`is decrypted with its passphrase: ${kind}`, async () => {
      const encrypted = await openssl.run(command);
      assert(hasEncryptedKey(encrypted, "private_key"));
      const clear = decryptKeys(encrypted, "private_key", "secret");
      assert.equal(clear, client.key);
      assert(!hasEncryptedKey(clear, "private_key"));
      for (const passphrase of ["", "Secret", "secret "]) {
        refusal(
          "passphrase_wrong",
          () => decryptKeys(encrypted, "private_key", passphrase),
          /^the passphrase does not open the private key in the key file \(`private_key`\), line 1$/,
        );
      }
    });
  }

  it("in a combined file is decrypted and the certificates stay as they are", async () => {
    const encrypted = await openssl.run(kinds["PKCS #8 with AES"] ?? []);
    const combined = client.pem + encrypted + issuing.pem;
    const certificates = decryptKeys(combined, "certificates", "secret");
    assert.equal(certificates, client.pem + client.key + issuing.pem);
    parseUpload({ certificates, ca: false, now });
  });

  it("with a cipher that OpenSSL dropped is refused, saying how to convert it", async () => {
    const old = ["-v1", "PBE-MD5-DES", "-provider", "legacy", "-provider", "default"];
    const encrypted = await openssl.run(["pkcs8", "-topk8", "-in", "key.pem", ...old, ...secret]);
    const refused = refusal("encryption_unsupported", () =>
      decryptKeys(encrypted, "private_key", "secret"),
    );
    assert.match(refused.fix, /openssl pkey/);
  });
});

describe("a PKCS #12 file", () => {
  const legacy = ["-keypbe", "PBE-SHA1-3DES", "-certpbe", "PBE-SHA1-3DES", "-macalg", "sha1"];
  const kinds: Readonly<Record<string, readonly [readonly string[], string]>> = {
    "as OpenSSL 3 writes it": [[], "secret"],
    "as macOS, Java 8 and OpenSSL 1 write it (RC2)": [["-legacy"], "secret"],
    "as Windows writes it (3DES)": [legacy, "secret"],
    "with an empty passphrase": [[], ""],
    "with a passphrase beyond ASCII": [[], "påss wörd €"],
    "with a passphrase beyond ASCII, as Windows writes it": [legacy, "påss wörd"],
    "without a MAC": [["-nomac"], "secret"],
  };
  for (const [kind, [options, passphrase]] of Object.entries(kinds)) {
    for (const algorithm of ["RSA 2048", "EC P-256", "Ed25519"]) {
      it(`${kind}, over ${algorithm}, is read with its chain`, async () => {
        const issued = await issueKind(issuing, algorithm);
        const bytes = await exportP12(issued, passphrase, options);
        const parsed = parseUpload({ ...readP12(bytes, passphrase), ca: false, now });
        assert(parsed.kind === "leaf");
        assert.equal(parsed.chain, issued.pem + issuing.pem);
        assert.equal(parsed.privateKey, issued.key);
        refusal("passphrase_wrong", () => readP12(bytes, `${passphrase}x`));
      });
    }
  }

  it("that is cut off, altered or something else is refused", async () => {
    const bytes = await exportP12(client, "secret", []);
    readP12(bytes, "secret");
    for (const other of [Buffer.alloc(0), Buffer.from(client.pem), bytes.subarray(0, -1)]) {
      refusal("p12_malformed", () => readP12(other, "secret"));
    }
    for (let at = 0; at < bytes.length; at += 7) {
      const altered = Buffer.from(bytes);
      altered.writeUInt8(altered.readUInt8(at) ^ 1, at);
      assert.throws(() => readP12(altered, "secret"), { name: "Failure" }, `byte ${at}`);
    }
  });

  it("over an RSA-PSS key is refused, saying how to convert it", async () => {
    const issued = await issueKind(issuing, "RSA-PSS 2048");
    const bytes = await exportP12(issued, "secret", []);
    const refused = refusal("key_algorithm_unsupported", () => readP12(bytes, "secret"));
    assert.match(refused.fix, /openssl pkcs12/);
  });
});

async function exportP12(
  { pem, key }: KeyedCertificate,
  passphrase: string,
  options: readonly string[],
): Promise<Buffer> {
  const name = crypto.randomUUID();
  await openssl.write(`${name}.pem`, key + pem + issuing.pem);
  const out = ["-out", `${name}.p12`, "-passout", `pass:${passphrase}`];
  await openssl.run(["pkcs12", "-export", "-in", `${name}.pem`, ...out, ...options]);
  return readFile(join(openssl.path, `${name}.p12`));
}
