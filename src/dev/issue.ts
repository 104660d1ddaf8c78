import { createPrivateKey, randomBytes, webcrypto } from "node:crypto";
import * as x509 from "../certificates/x509.ts";

/** A certificate and its key, PEM (the key PKCS #8). */
export interface KeyPair {
  readonly cert: string;
  readonly key: string;
}

export interface IssueRequest {
  /** `CN=MY_CERT,O=example` */
  readonly subject: string;
  readonly dns?: readonly string[];
  readonly ips?: readonly string[];
  readonly uris?: readonly string[];
  readonly notBefore?: Date;
  /** Default: 90 days from now. */
  readonly notAfter?: Date;
}

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const clientAuth = "1.3.6.1.5.5.7.3.2";
const serverAuth = "1.3.6.1.5.5.7.3.1";
const ecdsa = { name: "ECDSA", namedCurve: "P-256" };
const signing = { name: "ECDSA", hash: "SHA-256" };

/** A self-signed root, valid for ten years. It never leaves the machine on which it was made. */
export async function makeDevelopmentRoot(name: string): Promise<KeyPair> {
  const keys = await makeKeys();
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: serial(),
    name,
    notBefore: new Date(Date.now() - HOUR),
    notAfter: new Date(Date.now() + 3650 * DAY),
    signingAlgorithm: signing,
    keys,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(
        x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign,
        true,
      ),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return { cert: toPem(certificate), key: await privatePem(keys) };
}

/** A leaf for either side of a connection, signed by `authority`. */
export async function issueLeaf(authority: KeyPair, request: IssueRequest): Promise<KeyPair> {
  const root = new x509.X509Certificate(authority.cert);
  const signingKey = await importKey(authority.key);
  const keys = await makeKeys();
  const names = [
    ...(request.dns ?? []).map((value) => ({ type: "dns" as const, value })),
    ...(request.ips ?? []).map((value) => ({ type: "ip" as const, value })),
    ...(request.uris ?? []).map((value) => ({ type: "url" as const, value })),
  ];
  const leaf = await x509.X509CertificateGenerator.create({
    serialNumber: serial(),
    subject: request.subject,
    issuer: root.subject,
    notBefore: request.notBefore ?? new Date(Date.now() - HOUR),
    notAfter: request.notAfter ?? new Date(Date.now() + 90 * DAY),
    signingKey,
    publicKey: keys.publicKey,
    signingAlgorithm: signing,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([clientAuth, serverAuth]),
      ...(names.length > 0 ? [new x509.SubjectAlternativeNameExtension(names)] : []),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
      await x509.AuthorityKeyIdentifierExtension.create(root),
    ],
  });
  return { cert: toPem(leaf), key: await privatePem(keys) };
}

async function makeKeys(): Promise<webcrypto.CryptoKeyPair> {
  return webcrypto.subtle.generateKey(ecdsa, true, ["sign", "verify"]);
}

async function importKey(pem: string): Promise<webcrypto.CryptoKey> {
  const der = createPrivateKey(pem).export({ format: "der", type: "pkcs8" });
  return webcrypto.subtle.importKey("pkcs8", new Uint8Array(der), ecdsa, false, ["sign"]);
}

/** Positive, 16 bytes, no leading zero. */
function serial(): string {
  const bytes = randomBytes(16);
  bytes[0] = 0x40 | ((bytes[0] ?? 0) & 0x3f);
  return bytes.toString("hex");
}

function toPem(certificate: x509.X509Certificate): string {
  return `${certificate.toString("pem")}\n`;
}

async function privatePem(keys: webcrypto.CryptoKeyPair): Promise<string> {
  const pkcs8 = await webcrypto.subtle.exportKey("pkcs8", keys.privateKey);
  return createPrivateKey({ key: Buffer.from(pkcs8), format: "der", type: "pkcs8" }).export({
    format: "pem",
    type: "pkcs8",
  });
}
