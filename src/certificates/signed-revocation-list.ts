import { tryRead } from "./shown.ts";
import { AsnConvert } from "@peculiar/asn1-schema";
import { id_ce_issuingDistributionPoint, IssuingDistributionPoint } from "@peculiar/asn1-x509";
import { X509Certificate } from "node:crypto";
import { Failure } from "../failures/failures.ts";
import { visibleLine } from "../terminal/visible.ts";
import { splitList, TooManyEntries } from "./revocation-entries.ts";
import * as x509 from "./x509.ts";

/** What a CA says it has taken back, once its signature was checked. */
export interface SignedRevocationList {
  /** Of the CA that signed it: its subject as Node prints it. */
  readonly issuer: string;
  /** SHA-256 of that CA's certificate, 64 hex digits in lower case. */
  readonly authority: string;
  /** Hexadecimal in upper case with an even number of digits, as OpenSSL writes it. */
  readonly serials: readonly string[];
  readonly thisUpdate: Date;
  /** When the next one is there at the latest. */
  readonly nextUpdate: Date;
}

export interface ReadingTerms {
  /** The CAs that may have signed it, one certificate each, PEM. */
  readonly authorities: readonly string[];
  readonly now: Date;
}

/** Bytes of one list. */
export const LONGEST_LIST: number = 512 * 1024;
export const MOST_REVOKED: number = 5_000;

/** Bytes of what a list says besides its entries: whose it is, and of when. */
const LONGEST_REST = 64 * 1024;
const berOptions = { maxNodes: 1_000, maxDepth: 20, maxContentLength: LONGEST_REST };

/** ms that the clock of a CA may be ahead. */
const AHEAD = 5 * 60_000;

/**
 * Reads a revocation list, PEM or DER, and checks who signed it.
 * @throws Failure `revocation_list_invalid`, whatever the bytes are
 */
export async function readSignedList(
  bytes: Uint8Array,
  { authorities, now }: ReadingTerms,
): Promise<SignedRevocationList> {
  if (bytes.length > LONGEST_LIST) throw invalid(`it is longer than ${LONGEST_LIST} bytes`);
  const { crl, serials } = parse(derOf(bytes));
  try {
    refuseOtherKinds(crl);
    const signer = await signerOf(crl, authorities);
    const { thisUpdate, nextUpdate } = crl;
    // The library passes over the extensions of a list that has none, so that it could be any kind.
    if (nextUpdate === undefined) throw invalid("it does not say when the next one comes");
    if (Number.isNaN(thisUpdate.getTime() + nextUpdate.getTime())) {
      throw invalid("its dates cannot be read");
    }
    if (thisUpdate.getTime() > now.getTime() + AHEAD) {
      throw invalid(`it is of ${thisUpdate.toISOString()}, which is still to come`);
    }
    return {
      issuer: signer.subject,
      authority: signer.fingerprint256.replaceAll(":", "").toLowerCase(),
      serials: [...new Set(serials.map(evenDigits))],
      thisUpdate,
      nextUpdate,
    };
  } catch (cause) {
    if (cause instanceof Failure) throw cause;
    throw invalid("it cannot be read", cause);
  }
}

function derOf(bytes: Uint8Array): Uint8Array {
  const text = Buffer.from(bytes).toString("latin1");
  if (!text.includes("-----BEGIN ")) return bytes;
  const blocks = [...text.matchAll(/-----BEGIN (?:X509 )?CRL-----([^-]*)-----END/g)];
  const [first, second] = blocks;
  if (first === undefined) throw invalid("the PEM holds no revocation list");
  if (second !== undefined) throw invalid("the PEM holds more than one list");
  return Buffer.from(first[1]!, "base64");
}

function parse(der: Uint8Array): { readonly crl: Crl; readonly serials: readonly string[] } {
  try {
    const { signed, rest, serials } = splitList(der, MOST_REVOKED);
    if (rest.length > LONGEST_REST) {
      throw invalid(`it has more than ${LONGEST_REST} bytes besides its entries`);
    }
    return { crl: new Crl(rest, signed), serials };
  } catch (cause) {
    if (cause instanceof Failure) throw cause;
    if (cause instanceof TooManyEntries)
      throw invalid(`it has more than ${MOST_REVOKED} entries`, cause);
    throw invalid("it is no revocation list", cause);
  }
}

/** A list without its entries, whose signature is verified with them. */
class Crl extends x509.X509Crl {
  constructor(rest: Uint8Array, signed: Uint8Array) {
    super(new Uint8Array(rest), { berOptions });
    this.asn.tbsCertListRaw = new Uint8Array(signed).buffer;
  }
}

/** Lists that say less, or other things, than that these numbers of their issuer are revoked. */
function refuseOtherKinds(crl: x509.X509Crl): void {
  for (const { type, critical, value } of crl.extensions) {
    if (type === DELTA) throw invalid("it tells only what changed (a delta CRL)");
    if (type === id_ce_issuingDistributionPoint) {
      if (AsnConvert.parse(value, IssuingDistributionPoint).indirectCRL) {
        throw invalid("it speaks for other CAs (an indirect CRL)");
      }
    } else if (critical) throw invalid(`it has the critical extension ${type}`);
  }
}

const DELTA = "2.5.29.27";

async function signerOf(
  crl: x509.X509Crl,
  authorities: readonly string[],
): Promise<X509Certificate> {
  const name = Buffer.from(crl.issuerName.toArrayBuffer());
  let isKnown = false;
  for (const pem of authorities) {
    const authority = tryRead(() => new x509.X509Certificate(pem));
    if (!authority || !name.equals(Buffer.from(authority.subjectName.toArrayBuffer()))) continue;
    isKnown = true;
    const usages = authority.getExtension(x509.KeyUsagesExtension)?.usages;
    if (usages !== undefined && (usages & x509.KeyUsageFlags.cRLSign) === 0) continue;
    const isSigned = await crl.verify({ publicKey: authority.publicKey }).catch(() => false);
    if (isSigned) return new X509Certificate(pem);
  }
  const of = visibleLine(crl.issuer.slice(0, 200));
  throw invalid(
    isKnown
      ? `its signature is not of ${of}, which the account knows`
      : `none of the account's CAs is its issuer, ${of}`,
  );
}

function evenDigits(serial: string): string {
  const digits = serial.toUpperCase().replace(/^0+(?=.)/, "");
  return digits.length % 2 === 0 ? digits : `0${digits}`;
}

function invalid(why: string, cause?: unknown): Failure {
  const message = `the revocation list is not accepted: ${why}`;
  return new Failure("revocation_list_invalid", { message, cause });
}
