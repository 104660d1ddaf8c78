import { X509Certificate } from "node:crypto";
import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";

const CLIENT_AUTH = "1.3.6.1.5.5.7.3.2";
/** Certificates between the client's and the CA. */
const LONGEST_CHAIN = 10;

/**
 * What the client's certificate says of it, if its chain leads to one of the CAs: each signature,
 * each time and each issuer's right to issue is looked at. Never throws. Null: it proves nothing.
 *
 * @param authorities PEM
 */
export function verifiedCertificate(
  socket: Socket,
  authorities: readonly string[],
  now: number,
): { readonly commonName: string } | null {
  if (authorities.length === 0 || !("getPeerX509Certificate" in socket)) return null;
  try {
    const leaf = (socket as TLSSocket).getPeerX509Certificate();
    if (leaf === undefined || !isOfClient(leaf)) return null;
    const trusted = authorities.map((pem) => new X509Certificate(pem));
    return leadsTo(trusted, leaf, now) ? { commonName: commonNameOf(leaf) } : null;
  } catch {
    return null;
  }
}

function leadsTo(trusted: readonly X509Certificate[], leaf: X509Certificate, now: number): boolean {
  let current = leaf;
  for (let length = 0; length < LONGEST_CHAIN; length++) {
    if (!isInTime(current, now)) return false;
    if (trusted.some((one) => isInTime(one, now) && issued(one, current))) return true;
    const next = current.issuerCertificate;
    if (next === undefined || !issued(next, current)) return false;
    current = next;
  }
  return false;
}

function issued(issuer: X509Certificate, certificate: X509Certificate): boolean {
  return issuer.ca && certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey);
}

function isInTime({ validFromDate, validToDate }: X509Certificate, now: number): boolean {
  return validFromDate.getTime() <= now && now <= validToDate.getTime();
}

/** One that names what it is for has to name this. */
function isOfClient({ keyUsage }: X509Certificate): boolean {
  return keyUsage === undefined || keyUsage.includes(CLIENT_AUTH);
}

/** Of several, none: which of them is meant is not known. */
function commonNameOf({ subject }: X509Certificate): string {
  const names = (subject ?? "").split("\n").filter((line) => line.startsWith("CN="));
  return names.length === 1 ? names[0]!.slice(3) : "";
}
