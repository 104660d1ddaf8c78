import { tryRead } from "../certificates/shown.ts";
import type { X509Certificate } from "node:crypto";
import { type DerNode, readDer } from "../certificates/der-tree.ts";
import { extensionOf, renderName, upperHex } from "../certificates/distinguished-name.ts";
import { NO_CLIENT_CERTIFICATE } from "./cf.ts";

/** `request.cf.tlsClientAuth`, with what Countersign adds. */
export interface TlsClientAuth extends Record<
  keyof typeof NO_CLIENT_CERTIFICATE,
  string | boolean
> {
  /** The URIs in the leaf's SAN. Also empty if one of them cannot be represented. */
  readonly certSANURIs: readonly string[];
}

/** What a client presented, as the handshake left it. */
export interface PresentedChain {
  readonly leaf: X509Certificate;
  /** What it sent besides, in its order. */
  readonly chain: readonly X509Certificate[];
  /** Who signed the leaf, where that is known: of the chain, or a CA that is trusted. */
  readonly issuer: X509Certificate | null;
  /** Null: verified. Otherwise OpenSSL's code, as `CERT_HAS_EXPIRED`. */
  readonly error: string | null;
  readonly isRevoked: boolean;
}

/** Never throws, whatever the certificates hold: what cannot be read is empty. */
export function tlsClientAuth({
  leaf,
  chain,
  issuer,
  error,
  isRevoked,
}: PresentedChain): TlsClientAuth {
  const tbs = tbsOf(leaf);
  const names = nameNodes(tbs).map((node) => tryRead(() => renderName(node)));
  const [issuerName, subjectName] = names.map((name) => ({
    rfc2253: bounded(name?.rfc2253),
    legacy: bounded(name?.legacy),
  }));
  const own = tryRead(() => byteSequence(leaf)) ?? "";
  const others = tryRead(() => chain.map(byteSequence).join(", ")) ?? "";
  return {
    certPresented: "1",
    certVerified: verdictOf(error),
    // Said only of one that is valid otherwise.
    certRevoked: isRevoked && error === null ? "1" : "0",
    certIssuerDN: issuerName?.rfc2253 ?? "",
    certSubjectDN: subjectName?.rfc2253 ?? "",
    certIssuerDNRFC2253: issuerName?.rfc2253 ?? "",
    certSubjectDNRFC2253: subjectName?.rfc2253 ?? "",
    certIssuerDNLegacy: issuerName?.legacy ?? "",
    certSubjectDNLegacy: subjectName?.legacy ?? "",
    certSerial: serialOf(leaf),
    certIssuerSerial: issuer === null ? "" : serialOf(issuer),
    certSKI: keyIdentifier(tbs),
    certIssuerSKI: (issuer && keyIdentifier(tbsOf(issuer))) || authorityKeyIdentifier(tbs),
    certFingerprintSHA1: plainHex(tryRead(() => leaf.fingerprint)),
    certFingerprintSHA256: plainHex(tryRead(() => leaf.fingerprint256)),
    certNotBefore: dateOf(() => leaf.validFrom),
    certNotAfter: dateOf(() => leaf.validTo),
    certRFC9440: own.length > MOST_LEAF ? "" : own,
    certRFC9440TooLarge: own.length > MOST_LEAF,
    certChainRFC9440: others.length > MOST_CHAIN ? "" : others,
    certChainRFC9440TooLarge: others.length > MOST_CHAIN,
    certSANURIs: tryRead(() => uriNames(tbs)) ?? [],
  };
}

/** Characters of the encoded value, as on Cloudflare. */
const MOST_LEAF = 10_240;
const MOST_CHAIN = 16_384;

/** Characters of one name in one form: all of them go to the Worker in one header. */
const LONGEST_NAME = 4_096;
const MOST_URIS = 32;
const LONGEST_URI = 2_048;

/** The reasons that Cloudflare documents; others have none there. */
function verdictOf(error: string | null): string {
  if (error === null) return "SUCCESS";
  const reason = REASONS[error];
  return reason === undefined ? "FAILED" : `FAILED:${reason}`;
}

const REASONS: Readonly<Record<string, string>> = {
  DEPTH_ZERO_SELF_SIGNED_CERT: "self signed certificate",
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: "unable to verify the first certificate",
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: "unable to get local issuer certificate",
  CERT_NOT_YET_VALID: "certificate is not yet valid",
  CERT_HAS_EXPIRED: "certificate has expired",
};

/** RFC 8941, as RFC 9440 has it. */
function byteSequence({ raw }: X509Certificate): string {
  return `:${raw.toString("base64")}:`;
}

const NOTHING: DerNode = {
  tag: 0,
  isContext: false,
  children: [],
  content: new Uint8Array(),
  whole: new Uint8Array(),
};

function tbsOf(certificate: X509Certificate): DerNode {
  return tryRead(() => readDer(certificate.raw)?.children[0]) ?? NOTHING;
}

/** The issuer's and the subject's. A version 1 certificate does not tell its version. */
function nameNodes({ children }: DerNode): readonly DerNode[] {
  const first = children[0]?.isContext === true ? 3 : 2;
  return [children[first] ?? NOTHING, children[first + 2] ?? NOTHING];
}

function keyIdentifier(tbs: DerNode): string {
  return upperHex(extensionOf(tbs, "2.5.29.14")?.content ?? NOTHING.content).slice(0, LONGEST_HEX);
}

function authorityKeyIdentifier(tbs: DerNode): string {
  const parts = extensionOf(tbs, "2.5.29.35")?.children ?? [];
  const key = parts.find(({ isContext, tag }) => isContext && tag === 0);
  return upperHex(key?.content ?? NOTHING.content).slice(0, LONGEST_HEX);
}

const LONGEST_HEX = 256;

/** All of them or none: if one were left out, another could look like the only one. */
function uriNames(tbs: DerNode): readonly string[] {
  const names = extensionOf(tbs, "2.5.29.17")?.children ?? [];
  const uris = names.filter(({ isContext, tag }) => isContext && tag === 6);
  const isTold =
    uris.length <= MOST_URIS &&
    uris.every(({ content }) => content.length <= LONGEST_URI && content.every(isPrintable));
  return isTold ? uris.map(({ content }) => Buffer.from(content).toString("latin1")) : [];
}

function isPrintable(byte: number): boolean {
  return byte > 0x20 && byte < 0x7f;
}

/** As OpenSSL writes it. */
function serialOf(certificate: X509Certificate): string {
  const serial = (tryRead(() => certificate.serialNumber) ?? "").slice(0, LONGEST_HEX);
  return serial === "0" ? "00" : serial;
}

function plainHex(fingerprint: string | undefined): string {
  return (fingerprint ?? "").replaceAll(":", "").toLowerCase();
}

/** `Dec 22 19:39:00 2018 GMT`. Empty: it has none that can be read. */
function dateOf(read: () => string): string {
  const text = tryRead(read) ?? "";
  return Number.isNaN(Date.parse(text)) ? "" : text;
}

function bounded(text: string | undefined): string {
  return text === undefined || text.length > LONGEST_NAME ? "" : text;
}
