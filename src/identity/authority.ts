import { createPrivateKey, randomBytes, webcrypto } from "node:crypto";
import * as x509 from "../certificates/x509.ts";

/** A CA that signs: its certificate, those above it up to but without the root, and its key, PEM. */
export interface SigningAuthority {
  /** The signing certificate first. */
  readonly chain: string;
  /** PKCS #8. */
  readonly key: string;
}

const P256 = { name: "ECDSA", namedCurve: "P-256" };
export const SIGNING: webcrypto.EcdsaParams = { name: "ECDSA", hash: "SHA-256" };

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
/**
 * ms by which new certificates are backdated, so that a clock that is behind accepts a certificate that was just made.
 */
export const BACKDATED: number = 5 * 60_000;

export interface AuthorityNames {
  readonly account: string;
  readonly trustDomain: string;
}

/**
 * The root of one account's identities, valid for ten years. Its key signs only intermediates, so it can be kept on a
 * machine without a network.
 */
export async function makeRoot(names: AuthorityNames, now: Date): Promise<SigningAuthority> {
  const keys = await makeKeys();
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: newSerial(),
    name: nameOf("Countersign identities root", names.account),
    notBefore: new Date(now.getTime() - BACKDATED),
    notAfter: new Date(now.getTime() + 3650 * DAY),
    signingAlgorithm: SIGNING,
    keys,
    extensions: [
      new x509.BasicConstraintsExtension(true, 1, true),
      ...authorityExtensions(names.trustDomain),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return { chain: pemOf(certificate), key: await pemOfKey(keys) };
}

/** A fresh key on P-256 and a request for its certificate, both PEM. */
export async function makeRequest(
  commonName: string,
  organization: string,
): Promise<{ readonly csr: string; readonly key: string }> {
  const keys = await makeKeys();
  const csr = await x509.Pkcs10CertificateRequestGenerator.create({
    name: nameOf(commonName, organization),
    keys,
    signingAlgorithm: SIGNING,
  });
  return { csr: `${csr.toString("pem")}\n`, key: await pemOfKey(keys) };
}

export interface IntermediateOptions extends AuthorityNames {
  readonly now: Date;
  /** Days, 1 to 3,650; never beyond the root's expiry. Default: 365. */
  readonly days?: number;
}

/**
 * Signs an intermediate that may issue leaves and no further CA. Only the key of the request is used.
 * @returns its certificate, PEM
 * @throws TypeError if the request is not valid, or its signature does not match its key
 */
export async function signIntermediate(
  root: SigningAuthority,
  csr: string,
  { now, days = 365, ...names }: IntermediateOptions,
): Promise<string> {
  const { publicKey } = await readRequest(csr);
  const issuer = new x509.X509Certificate(root.chain);
  const end = Math.min(now.getTime() + days * DAY, issuer.notAfter.getTime());
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: newSerial(),
    subject: nameOf("Countersign identities", names.account),
    issuer: issuer.subjectName,
    notBefore: new Date(now.getTime() - BACKDATED),
    notAfter: new Date(end),
    signingKey: await importKey(root.key),
    publicKey,
    signingAlgorithm: SIGNING,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      ...authorityExtensions(names.trustDomain),
      await x509.SubjectKeyIdentifierExtension.create(publicKey),
      await x509.AuthorityKeyIdentifierExtension.create(issuer),
    ],
  });
  return pemOf(certificate);
}

/** A signing certificate's SPIFFE ID is that of its trust domain, without a path. */
function authorityExtensions(trustDomain: string): x509.Extension[] {
  return [
    new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
    new x509.SubjectAlternativeNameExtension([{ type: "url", value: `spiffe://${trustDomain}` }]),
  ];
}

/**
 * Reads and checks a request for a certificate (PKCS #10).
 * @throws TypeError if it is not valid, or was not signed with its own key
 */
export async function readRequest(csr: string): Promise<x509.Pkcs10CertificateRequest> {
  let request: x509.Pkcs10CertificateRequest;
  let isSigned: boolean;
  try {
    request = new x509.Pkcs10CertificateRequest(csr);
    isSigned = await request.verify();
  } catch (cause) {
    throw new TypeError("this is not a certificate request", { cause });
  }
  if (!isSigned) throw new TypeError("the certificate request was not signed with its own key");
  const names = request.subjectName.toJSON().flatMap((part) => Object.values(part).flat());
  if (!names.every((name) => name.isWellFormed())) {
    throw new TypeError("the subject of the certificate request holds half a surrogate pair");
  }
  return request;
}

/** `CN=…,O=…` in RFC 4514's order, which is the reverse of the encoded order. */
export function nameOf(commonName: string, organization: string): x509.JsonName {
  return [{ O: [organization] }, { CN: [commonName] }];
}

/** Positive, 16 random bytes, hexadecimal. */
export function newSerial(): string {
  const bytes = randomBytes(16);
  bytes[0] = 0x40 | (bytes[0]! & 0x3f);
  return bytes.toString("hex");
}

export function pemOf(certificate: x509.X509Certificate): string {
  return `${certificate.toString("pem")}\n`;
}

export async function makeKeys(): Promise<webcrypto.CryptoKeyPair> {
  return webcrypto.subtle.generateKey(P256, true, ["sign", "verify"]);
}

/** @param pem a P-256 key, PKCS #8 or SEC 1 */
export async function importKey(pem: string): Promise<webcrypto.CryptoKey> {
  const der = createPrivateKey(pem).export({ format: "der", type: "pkcs8" });
  return webcrypto.subtle.importKey("pkcs8", new Uint8Array(der), P256, false, ["sign"]);
}

/** PKCS #8. */
export async function pemOfKey(keys: webcrypto.CryptoKeyPair): Promise<string> {
  const der = await webcrypto.subtle.exportKey("pkcs8", keys.privateKey);
  const key = createPrivateKey({ key: Buffer.from(der), format: "der", type: "pkcs8" });
  return key.export({ format: "pem", type: "pkcs8" });
}
