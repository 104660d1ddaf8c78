import { createHash, webcrypto } from "node:crypto";
import { OctetString } from "asn1js";
import {
  Extension,
  PemConverter,
  SubjectAlternativeNameExtension,
  X509CertificateGenerator,
} from "./x509.ts";

/** Of RFC 8737, id-pe-acmeIdentifier. */
const ACME_IDENTIFIER = "1.3.6.1.5.5.7.1.31";
const ALGORITHM = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };

/**
 * The certificate that proves to an ACME server that a host is ours (TLS-ALPN-01, RFC 8737), with a
 * key of its own. PEM, both. Other programs reject it, because it is self-signed.
 */
export async function acmeProof(
  host: string,
  keyAuthorization: string,
): Promise<{ readonly chain: string; readonly key: string }> {
  const keys = await webcrypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]);
  const digest = createHash("sha256").update(keyAuthorization).digest();
  const now = Date.now();
  const certificate = await X509CertificateGenerator.createSelfSigned({
    name: `CN=${host}`.slice(0, 64),
    keys,
    signingAlgorithm: ALGORITHM,
    notBefore: new Date(now - HOUR),
    notAfter: new Date(now + HOUR),
    extensions: [
      new SubjectAlternativeNameExtension([{ type: "dns", value: host }]),
      new Extension(ACME_IDENTIFIER, true, new OctetString({ valueHex: digest }).toBER()),
    ],
  });
  const pkcs8 = await webcrypto.subtle.exportKey("pkcs8", keys.privateKey);
  return { chain: certificate.toString("pem"), key: PemConverter.encode(pkcs8, "PRIVATE KEY") };
}

/** A clock that differs from the server's does no harm. */
const HOUR = 3_600_000;
