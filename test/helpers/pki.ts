import * as x509 from "../../src/certificates/x509.ts";
import { createPrivateKey, randomBytes, webcrypto } from "node:crypto";

export interface TestAuthority {
  readonly certificate: x509.X509Certificate;
  readonly pem: string;
  readonly keys: webcrypto.CryptoKeyPair;
  /** PKCS #8. */
  readonly keyPem: string;
  issue(options: IssueOptions): Promise<TestCertificate>;
  intermediate(name: string): Promise<TestAuthority>;
  /** A revocation list, PEM. */
  revoke(certificates: readonly TestCertificate[], dates?: RevocationDates): Promise<string>;
}

export interface RevocationDates {
  /** Default: an hour ago. */
  readonly thisUpdate?: Date;
  /** Default: a day from now. */
  readonly nextUpdate?: Date;
}

export interface IssueOptions {
  /** `CN=client` or a full DN. */
  readonly subject: string;
  readonly dns?: readonly string[];
  readonly ips?: readonly string[];
  readonly uris?: readonly string[];
  /** Default: both `clientAuth` and `serverAuth`. Empty: no extension. */
  readonly usages?: readonly ("clientAuth" | "serverAuth")[];
  readonly notBefore?: Date;
  readonly notAfter?: Date;
  readonly algorithm?: KeyAlgorithm;
  readonly extensions?: readonly x509.Extension[];
}

export type KeyAlgorithm = "P-256" | "P-384" | "P-521" | "Ed25519" | "RSA-2048" | "RSA-1024";

export interface TestCertificate {
  /** The leaf alone. */
  readonly pem: string;
  /** Leaf first, then each intermediate; without the root. */
  readonly chain: string;
  /** PKCS #8. */
  readonly key: string;
  readonly x509: x509.X509Certificate;
  /** Only for certificates that this file made. */
  readonly keys?: webcrypto.CryptoKeyPair;
}

const HOUR = 3_600_000;
const signing: webcrypto.EcdsaParams = { name: "ECDSA", hash: "SHA-256" };
const usageOids = { clientAuth: "1.3.6.1.5.5.7.3.2", serverAuth: "1.3.6.1.5.5.7.3.1" };

/**
 * A new root CA: tests never read a certificate from a file.
 * @param name its common name, or a whole name: `O=acme,CN=Root`
 */
export async function makeAuthority(name = "Test Root CA"): Promise<TestAuthority> {
  const keys = await makeKeys("P-256");
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: serial(),
    name: name.includes("=") ? name : `CN=${name}`,
    notBefore: new Date(Date.now() - HOUR),
    notAfter: new Date(Date.now() + 365 * 24 * HOUR),
    signingAlgorithm: signing,
    keys,
    extensions: await authorityExtensions(keys.publicKey),
  });
  return authority(certificate, keys, []);
}

/** A certificate signed only by itself. */
export async function selfSigned(
  host: string,
): Promise<TestCertificate & { readonly keys: webcrypto.CryptoKeyPair }> {
  const keys = await makeKeys("P-256");
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: serial(),
    name: `CN=${host}`,
    notBefore: new Date(Date.now() - HOUR),
    notAfter: new Date(Date.now() + 90 * 24 * HOUR),
    signingAlgorithm: signing,
    keys,
    extensions: [new x509.SubjectAlternativeNameExtension([{ type: "dns", value: host }])],
  });
  const pem = pemOf(certificate);
  return { pem, chain: pem, key: await privatePem(keys.privateKey), x509: certificate, keys };
}

/** A certificate signed by any other certificate, CA or not. */
export function issuedBy(
  issuer: { readonly certificate: x509.X509Certificate; readonly keys: webcrypto.CryptoKeyPair },
  host: string,
): Promise<TestCertificate> {
  return authority(issuer.certificate, issuer.keys, [pemOf(issuer.certificate)]).then((ca) =>
    ca.issue({ subject: `CN=${host}`, dns: [host] }),
  );
}

async function authority(
  certificate: x509.X509Certificate,
  keys: webcrypto.CryptoKeyPair,
  above: readonly string[],
): Promise<TestAuthority> {
  const chain = above;
  return {
    certificate,
    keys,
    pem: pemOf(certificate),
    keyPem: await privatePem(keys.privateKey),
    issue: async (options) => {
      const algorithm = options.algorithm ?? "P-256";
      const leafKeys = await makeKeys(algorithm);
      const usages = options.usages ?? ["clientAuth", "serverAuth"];
      const names = [
        ...(options.dns ?? []).map((value) => ({ type: "dns" as const, value })),
        ...(options.ips ?? []).map((value) => ({ type: "ip" as const, value })),
        ...(options.uris ?? []).map((value) => ({ type: "url" as const, value })),
      ];
      const leaf = await x509.X509CertificateGenerator.create({
        serialNumber: serial(),
        subject: options.subject,
        issuer: certificate.subject,
        notBefore: options.notBefore ?? new Date(Date.now() - HOUR),
        notAfter: options.notAfter ?? new Date(Date.now() + 90 * 24 * HOUR),
        signingKey: keys.privateKey,
        publicKey: leafKeys.publicKey,
        signingAlgorithm: signing,
        extensions: [
          new x509.BasicConstraintsExtension(false, undefined, true),
          new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
          ...(usages.length > 0
            ? [new x509.ExtendedKeyUsageExtension(usages.map((usage) => usageOids[usage]))]
            : []),
          ...(names.length > 0 ? [new x509.SubjectAlternativeNameExtension(names)] : []),
          ...(options.extensions ?? []),
          await x509.SubjectKeyIdentifierExtension.create(leafKeys.publicKey),
          await x509.AuthorityKeyIdentifierExtension.create(keys.publicKey),
        ],
      });
      const pem = pemOf(leaf);
      return {
        pem,
        chain: [pem, ...chain].join(""),
        key: await privatePem(leafKeys.privateKey),
        x509: leaf,
        keys: leafKeys,
      };
    },
    revoke: async (certificates, dates = {}) => {
      const crl = await x509.X509CrlGenerator.create({
        issuer: certificate.subject,
        thisUpdate: dates.thisUpdate ?? new Date(Date.now() - HOUR),
        nextUpdate: dates.nextUpdate ?? new Date(Date.now() + 24 * HOUR),
        signingAlgorithm: signing,
        signingKey: keys.privateKey,
        entries: certificates.map((one) => ({
          serialNumber: one.x509.serialNumber,
          revocationDate: new Date(Date.now() - HOUR),
          reason: x509.X509CrlReason.keyCompromise,
        })),
      });
      // The library writes a PEM label that OpenSSL does not know.
      return `${crl.toString("pem").replaceAll(" CRL-", " X509 CRL-")}\n`;
    },
    intermediate: async (name) => {
      const childKeys = await makeKeys("P-256");
      const child = await x509.X509CertificateGenerator.create({
        serialNumber: serial(),
        subject: `CN=${name}`,
        issuer: certificate.subject,
        notBefore: new Date(Date.now() - HOUR),
        notAfter: new Date(Date.now() + 180 * 24 * HOUR),
        signingKey: keys.privateKey,
        publicKey: childKeys.publicKey,
        signingAlgorithm: signing,
        extensions: [
          ...(await authorityExtensions(childKeys.publicKey)),
          await x509.AuthorityKeyIdentifierExtension.create(keys.publicKey),
        ],
      });
      return authority(child, childKeys, [pemOf(child), ...chain]);
    },
  };
}

async function authorityExtensions(publicKey: CryptoKey): Promise<x509.Extension[]> {
  return [
    new x509.BasicConstraintsExtension(true, undefined, true),
    new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
    await x509.SubjectKeyIdentifierExtension.create(publicKey),
  ];
}

async function makeKeys(algorithm: KeyAlgorithm): Promise<webcrypto.CryptoKeyPair> {
  const parameters = algorithm.startsWith("RSA")
    ? {
        name: "RSASSA-PKCS1-v1_5",
        hash: "SHA-256",
        modulusLength: Number(algorithm.slice(4)),
        publicExponent: new Uint8Array([1, 0, 1]),
      }
    : algorithm === "Ed25519"
      ? { name: "Ed25519" }
      : { name: "ECDSA", namedCurve: algorithm };
  return (await webcrypto.subtle.generateKey(parameters, true, [
    "sign",
    "verify",
  ])) as webcrypto.CryptoKeyPair;
}

function serial(): string {
  return `4${randomBytes(15).toString("hex")}0`;
}

function pemOf(certificate: x509.X509Certificate): string {
  return `${certificate.toString("pem")}\n`;
}

async function privatePem(key: CryptoKey): Promise<string> {
  const pkcs8 = await webcrypto.subtle.exportKey("pkcs8", key);
  return createPrivateKey({ key: Buffer.from(pkcs8), format: "der", type: "pkcs8" }).export({
    format: "pem",
    type: "pkcs8",
  });
}
