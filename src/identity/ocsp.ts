import { createHash, createPrivateKey, sign, X509Certificate } from "node:crypto";
import {
  BasicOCSPResponse,
  CertStatus,
  KeyHash,
  OCSPRequest,
  OCSPResponse,
  OCSPResponseStatus,
  ResponderID,
  ResponseBytes,
  ResponseData,
  RevokedInfo,
  SingleResponse,
  type CertID,
} from "@peculiar/asn1-ocsp";
import { AsnConvert, OctetString } from "@peculiar/asn1-schema";
import { AlgorithmIdentifier, Certificate, Extension } from "@peculiar/asn1-x509";
import { makeRequest, type SigningAuthority } from "./authority.ts";
import { issueResponder } from "./issue.ts";

/** The largest request that is read, in bytes, and the most certificates that one request may ask about. */
export const LARGEST_REQUEST = 4_096;
const MOST = 16;

/** How long an answer is valid, ms. */
const LIFETIME = 3_600_000;

const basic = "1.3.6.1.5.5.7.48.1.1";
const nonce = "1.3.6.1.5.5.7.48.1.2";
const ecdsaWithSha256 = "1.2.840.10045.4.3.2";
const hashes: Readonly<Record<string, string>> = {
  "1.3.14.3.2.26": "sha1",
  "2.16.840.1.101.3.4.2.1": "sha256",
};

/** Answers for one CA, with a key that the CA certified for this purpose. */
export interface Responder {
  /** The CA whose certificates are asked about, DER. */
  readonly issuer: Buffer;
  readonly certificate: Buffer;
  /** PKCS #8. */
  readonly key: string;
  readonly notAfter: Date;
}

/** Looks up a serial number (hexadecimal, upper case). Null: the CA has not issued it. */
export type StatusOf = (serial: string) => Promise<{ readonly revokedOn: Date | null } | null>;

export async function makeResponder(
  authority: SigningAuthority,
  account: string,
  now: Date,
): Promise<Responder> {
  const { csr, key } = await makeRequest("ocsp", account);
  const issued = await issueResponder(authority, { csr, account, now });
  return {
    issuer: new X509Certificate(authority.chain).raw,
    certificate: new X509Certificate(issued.chain).raw,
    key,
    notAfter: issued.notAfter,
  };
}

/** Reads a request. Null: it cannot be read. Never throws. */
export function readOcspRequest(der: Uint8Array): OCSPRequest | null {
  try {
    const request = AsnConvert.parse(der, OCSPRequest);
    const { length } = request.tbsRequest.requestList;
    return length >= 1 && length <= MOST ? request : null;
  } catch {
    return null;
  }
}

/** Whether this CA is named as the issuer of all the certificates in the request. */
export function isAskedOf(request: OCSPRequest, { issuer }: Responder): boolean {
  const { subject, subjectPublicKeyInfo } = AsnConvert.parse(issuer, Certificate).tbsCertificate;
  const name = Buffer.from(AsnConvert.serialize(subject));
  const key = Buffer.from(subjectPublicKeyInfo.subjectPublicKey);
  return request.tbsRequest.requestList.every(({ reqCert }) => {
    const algorithm = hashes[reqCert.hashAlgorithm.algorithm];
    if (algorithm === undefined) return false;
    const isHash = (of: Buffer, hash: OctetString): boolean =>
      createHash(algorithm).update(of).digest().equals(Buffer.from(hash.buffer));
    return isHash(name, reqCert.issuerNameHash) && isHash(key, reqCert.issuerKeyHash);
  });
}

/** A signed answer, DER. @see RFC 6960 */
export async function answerOcsp(
  responder: Responder,
  request: OCSPRequest,
  statusOf: StatusOf,
  now: Date,
): Promise<Buffer> {
  const { requestList, requestExtensions } = request.tbsRequest;
  const responses = await Promise.all(
    requestList.map(async ({ reqCert }) => {
      return new SingleResponse({
        certID: reqCert,
        certStatus: shown(await statusOf(serialOf(reqCert))),
        thisUpdate: now,
        nextUpdate: new Date(now.getTime() + LIFETIME),
      });
    }),
  );
  const certificate = AsnConvert.parse(responder.certificate, Certificate);
  const { subjectPublicKey } = certificate.tbsCertificate.subjectPublicKeyInfo;
  const keyHash = createHash("sha1").update(Buffer.from(subjectPublicKey)).digest();
  // The nonce ties the answer to this request, so an old answer cannot be replayed.
  const echoed = requestExtensions?.find(({ extnID }) => extnID === nonce);
  const isShort = echoed !== undefined && echoed.extnValue.buffer.byteLength <= 128;
  const tbsResponseData = new ResponseData({
    responderID: new ResponderID({ byKey: new KeyHash(keyHash) }),
    producedAt: now,
    responses,
    ...(isShort && {
      responseExtensions: [new Extension({ extnID: nonce, extnValue: echoed.extnValue })],
    }),
  });
  const signature = sign(
    "sha256",
    Buffer.from(AsnConvert.serialize(tbsResponseData)),
    createPrivateKey(responder.key),
  );
  const response = new BasicOCSPResponse({
    tbsResponseData,
    signatureAlgorithm: new AlgorithmIdentifier({ algorithm: ecdsaWithSha256 }),
    signature: new Uint8Array(signature).buffer,
    certs: [certificate],
  });
  return encode(
    new OCSPResponse({
      responseStatus: OCSPResponseStatus.successful,
      responseBytes: new ResponseBytes({
        responseType: basic,
        response: new OctetString(AsnConvert.serialize(response)),
      }),
    }),
  );
}

/** An unsigned error response, which says nothing about certificates. */
export function ocspRefusal(why: Refusal): Buffer {
  return encode(new OCSPResponse({ responseStatus: refusals[why] }));
}

type Refusal = "malformed" | "unauthorized" | "later";

const refusals: Readonly<Record<Refusal, OCSPResponseStatus>> = {
  malformed: OCSPResponseStatus.malformedRequest,
  unauthorized: OCSPResponseStatus.unauthorized,
  later: OCSPResponseStatus.tryLater,
};

function encode(response: OCSPResponse): Buffer {
  return Buffer.from(AsnConvert.serialize(response));
}

function serialOf({ serialNumber }: CertID): string {
  const hex = Buffer.from(serialNumber).toString("hex").toUpperCase();
  return hex.replace(/^(?:00)+(?=..)/, "");
}

function shown(status: Awaited<ReturnType<StatusOf>>): CertStatus {
  if (status === null) return new CertStatus({ unknown: null });
  if (status.revokedOn === null) return new CertStatus({ good: null });
  return new CertStatus({ revoked: new RevokedInfo({ revocationTime: status.revokedOn }) });
}
