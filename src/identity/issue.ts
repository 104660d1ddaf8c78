import { webcrypto } from "node:crypto";
import { encodeSegment } from "countersign-origin";
import * as x509 from "../certificates/x509.ts";
import {
  BACKDATED,
  importKey,
  nameOf,
  newSerial,
  pemOf,
  readRequest,
  SIGNING,
  type SigningAuthority,
} from "./authority.ts";

const clientAuth = "1.3.6.1.5.5.7.3.2";
const serverAuth = "1.3.6.1.5.5.7.3.1";
const ocspSigning = "1.3.6.1.5.5.7.3.9";
const ocspNoCheck = "1.3.6.1.5.5.7.48.1.5";

export interface Issued {
  /** The leaf first, then the certificates between it and the root, PEM. */
  readonly chain: string;
  /** Hexadecimal, upper case, as node:crypto has it. */
  readonly serialNumber: string;
  readonly notBefore: Date;
  readonly notAfter: Date;
}

export interface IssueIdentityOptions {
  /** PKCS #10, PEM. Only its key is used, which has to be on P-256. */
  readonly csr: string;
  readonly spiffeId: string;
  readonly worker: string;
  readonly account: string;
  readonly now: Date;
  /** ms. Default: 24 hours. Never beyond the intermediate's expiry. */
  readonly lifetime?: number;
}

/**
 * Issues a Worker's identity: an X509-SVID with exactly one URI, not a CA, for either side of a connection.
 * @throws TypeError if the request is not valid, was not signed with its key, or has a key of another kind
 * @see https://github.com/spiffe/spiffe/blob/main/standards/X509-SVID.md
 */
export async function issueIdentity(
  authority: SigningAuthority,
  { csr, spiffeId, worker, account, now, lifetime = 24 * 3_600_000 }: IssueIdentityOptions,
): Promise<Issued> {
  const { publicKey } = await readRequest(csr);
  const { name, namedCurve } = publicKey.algorithm as webcrypto.EcKeyAlgorithm;
  if (name !== "ECDSA" || namedCurve !== "P-256") {
    throw new TypeError("the key of an identity is on the curve P-256");
  }
  return issue(authority, publicKey, now, lifetime, {
    subject: nameOf(worker, account),
    usages: [clientAuth, serverAuth],
    names: [{ type: "url", value: spiffeId }],
  });
}

export interface ClientRequest {
  /** PKCS #10, PEM. Its key and its subject are used. */
  readonly csr: string;
  /** The account whose CA issues. */
  readonly account: string;
  readonly now: Date;
  /** Days, 1 to 5,475, as on Cloudflare. */
  readonly days: number;
}

/**
 * Issues a client certificate for a program that is not a Worker. Of the names in the request only the subject is used,
 * so a request cannot ask for a Worker's SPIFFE ID. It cannot ask for a Worker's subject either, which counts for
 * servers that do not look at the ID.
 * @throws TypeError if the request is not valid, or was not signed with its key
 */
export async function issueClient(
  authority: SigningAuthority,
  { csr, account, now, days }: ClientRequest,
): Promise<Issued> {
  const request = await readRequest(csr);
  const subject = request.subjectName.toJSON();
  const isOfAccount = subject.some((part) => part["O"]?.includes(account));
  return issue(authority, request.publicKey, now, days * DAY, {
    subject: isOfAccount ? [...subject, { OU: ["client"] }] : subject,
    usages: [clientAuth],
    names: [],
  });
}

const DAY = 86_400_000;

export interface PersonRequest extends ClientRequest {
  readonly trustDomain: string;
}

/**
 * Issues an identity of a person or a machine, named by the common name of the request: `spiffe://{trust
 * domain}/account/{account}/client/{name}`, `CN={name},OU=client,O={account}`.
 * @throws TypeError if the request is not valid, was not signed with its key, or has no common name
 */
export async function issuePerson(
  authority: SigningAuthority,
  { csr, account, now, days, trustDomain }: PersonRequest,
): Promise<Issued & { readonly spiffeId: string; readonly name: string }> {
  const request = await readRequest(csr);
  const name = personIn(request);
  const spiffeId = `spiffe://${trustDomain}/account/${encodeSegment(account)}/client/${encodeSegment(name)}`;
  const issued = await issue(authority, request.publicKey, now, days * DAY, {
    subject: [{ O: [account] }, { OU: ["client"] }, { CN: [name] }],
    usages: [clientAuth],
    names: [{ type: "url", value: spiffeId }],
  });
  return { ...issued, spiffeId, name };
}

/** @throws TypeError as `issuePerson` does, before there is a CA */
export async function assertPersonRequest(csr: string): Promise<void> {
  personIn(await readRequest(csr));
}

function personIn(request: x509.Pkcs10CertificateRequest): string {
  const names = request.subjectName.toJSON().flatMap((part) => part["CN"] ?? []);
  const [name] = names;
  if (name === undefined || names.length > 1 || !/^[^\p{Cc}]{1,64}$/u.test(name)) {
    throw new TypeError("the request names nobody: its subject has one CN of up to 64 characters");
  }
  return name;
}

/**
 * Issues the certificate that signs OCSP answers for its CA. It is valid for a day, and for nothing else (RFC 6960,
 * section 4.2.2.2).
 */
export async function issueResponder(
  authority: SigningAuthority,
  { csr, account, now }: Omit<ClientRequest, "days">,
): Promise<Issued> {
  const { publicKey } = await readRequest(csr);
  return issue(authority, publicKey, now, DAY, {
    subject: [{ O: [account] }, { OU: ["ocsp"] }, { CN: ["OCSP responder"] }],
    usages: [ocspSigning],
    names: [],
    // Clients need not ask whether this certificate was revoked.
    extensions: [new x509.Extension(ocspNoCheck, false, new Uint8Array([5, 0]))],
  });
}

/** Issues what an origin is shown: the leaf alone, because an origin that trusts its CA has the CA already. */
export async function issuePull(
  authority: SigningAuthority,
  publicKey: x509.PublicKey,
  request: {
    readonly name: string;
    readonly account: string;
    readonly now: Date;
    readonly days: number;
  },
): Promise<Issued> {
  const { name, account, now, days } = request;
  const issued = await issue(authority, publicKey, now, days * DAY, {
    subject: nameOf(name, account),
    usages: [clientAuth],
    names: [],
  });
  return { ...issued, chain: issued.chain.slice(0, -authority.chain.length) };
}

interface Leaf {
  readonly subject: x509.JsonName;
  readonly usages: readonly string[];
  readonly names: readonly { readonly type: "url"; readonly value: string }[];
  readonly extensions?: readonly x509.Extension[];
}

async function issue(
  authority: SigningAuthority,
  publicKey: x509.PublicKey,
  now: Date,
  lifetime: number,
  { subject, usages, names, extensions = [] }: Leaf,
): Promise<Issued> {
  const issuer = new x509.X509Certificate(authority.chain);
  // No leaf outlives the certificate that signed it, because verifiers judge the whole chain.
  const notAfter = new Date(Math.min(now.getTime() + lifetime, issuer.notAfter.getTime()));
  const notBefore = new Date(Math.max(now.getTime() - BACKDATED, issuer.notBefore.getTime()));
  const leaf = await x509.X509CertificateGenerator.create({
    serialNumber: newSerial(),
    subject,
    issuer: issuer.subjectName,
    notBefore,
    notAfter,
    signingKey: await importKey(authority.key),
    publicKey,
    signingAlgorithm: SIGNING,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([...usages]),
      ...(names.length > 0 ? [new x509.SubjectAlternativeNameExtension([...names])] : []),
      ...extensions,
      await x509.SubjectKeyIdentifierExtension.create(publicKey),
      await x509.AuthorityKeyIdentifierExtension.create(issuer),
    ],
  });
  return {
    chain: pemOf(leaf) + authority.chain,
    serialNumber: leaf.serialNumber.toUpperCase(),
    notBefore: leaf.notBefore,
    notAfter: leaf.notAfter,
  };
}
