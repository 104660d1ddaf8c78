import * as x509 from "../../src/certificates/x509.ts";
import { generateKeyPair, randomBytes, type KeyObject } from "node:crypto";
import { promisify } from "node:util";
import type { TestAuthority } from "./pki.ts";

const generate = promisify(generateKeyPair);

/** By the name that Countersign gives them: every kind of key that it accepts, and some that it must refuse. */
const generators: Readonly<Record<string, () => Promise<KeyPair>>> = {
  "RSA 1024": () => generate("rsa", { modulusLength: 1024 }),
  "RSA 2047": () => generate("rsa", { modulusLength: 2047 }),
  "RSA 2048": () => generate("rsa", { modulusLength: 2048 }),
  "RSA 2560": () => generate("rsa", { modulusLength: 2560 }),
  "RSA-PSS 1024": () => generate("rsa-pss", { modulusLength: 1024 }),
  "RSA-PSS 2048": () => generate("rsa-pss", { modulusLength: 2048 }),
  "EC P-256": () => generate("ec", { namedCurve: "P-256" }),
  "EC P-384": () => generate("ec", { namedCurve: "P-384" }),
  "EC P-521": () => generate("ec", { namedCurve: "P-521" }),
  "EC P-224": () => generate("ec", { namedCurve: "P-224" }),
  "EC secp256k1": () => generate("ec", { namedCurve: "secp256k1" }),
  "EC brainpoolP256r1": () => generate("ec", { namedCurve: "brainpoolP256r1" }),
  "EC P-256 by its numbers": () =>
    generate("ec", { namedCurve: "P-256", paramEncoding: "explicit" }),
  Ed25519: () => generate("ed25519"),
  Ed448: () => generate("ed448"),
  X25519: () => generate("x25519"),
  DSA: () => generate("dsa", { modulusLength: 2048, divisorLength: 256 }),
  "ML-DSA-44": () => generate("ml-dsa-44"),
  "ML-DSA-65": () => generate("ml-dsa-65"),
  "ML-DSA-87": () => generate("ml-dsa-87"),
};

interface KeyPair {
  readonly publicKey: KeyObject;
  readonly privateKey: KeyObject;
}

export interface KeyedCertificate {
  readonly pem: string;
  /** PKCS #8. */
  readonly key: string;
  readonly privateKey: KeyObject;
}

/** A client certificate of the authority over a key of that kind. */
export async function issueKind(authority: TestAuthority, kind: string): Promise<KeyedCertificate> {
  const { publicKey, privateKey } = await makeKeys(kind);
  return {
    pem: await issueFor(authority, publicKey.export({ format: "der", type: "spki" }), [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.clientAuth]),
    ]),
    key: privateKey.export({ format: "pem", type: "pkcs8" }),
    privateKey,
  };
}

/** A certificate of the authority over a P-256 key, with these extensions and no others. */
export async function issueWith(
  authority: TestAuthority,
  extensions: readonly x509.Extension[],
): Promise<{ readonly pem: string; readonly key: string }> {
  const { publicKey, privateKey } = await generate("ec", { namedCurve: "P-256" });
  return {
    pem: await issueFor(authority, publicKey.export({ format: "der", type: "spki" }), extensions),
    key: privateKey.export({ format: "pem", type: "pkcs8" }),
  };
}

/** A CA of the authority over a key of that kind. */
export async function issueAuthorityKind(authority: TestAuthority, kind: string): Promise<string> {
  return issueAuthority(authority, (await makeKeys(kind)).publicKey);
}

/** A CA of the authority over that key. */
export async function issueAuthority(
  authority: TestAuthority,
  publicKey: KeyObject,
): Promise<string> {
  const spki = publicKey.export({ format: "der", type: "spki" });
  return issueFor(authority, spki, [new x509.BasicConstraintsExtension(true, undefined, true)]);
}

async function makeKeys(kind: string): Promise<KeyPair> {
  const make = generators[kind];
  if (make === undefined) throw new Error(`no kind of key is called "${kind}"`);
  return make();
}

/** @param publicKey subjectPublicKeyInfo, DER, because Node cannot make every kind of key */
async function issueFor(
  authority: TestAuthority,
  publicKey: Uint8Array,
  extensions: readonly x509.Extension[],
): Promise<string> {
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: `4${randomBytes(15).toString("hex")}0`,
    subject: "CN=client",
    issuer: authority.certificate.subject,
    notBefore: new Date(Date.now() - 3_600_000),
    notAfter: new Date(Date.now() + 90 * 86_400_000),
    signingKey: authority.keys.privateKey,
    publicKey: new x509.PublicKey(publicKey),
    signingAlgorithm: { name: "ECDSA", hash: "SHA-256" },
    extensions: [...extensions],
  });
  return `${certificate.toString("pem")}\n`;
}
