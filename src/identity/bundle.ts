import { X509Certificate } from "node:crypto";

/** How often clients should fetch the bundle, in seconds. */
export const REFRESH_HINT = 300;

/**
 * A SPIFFE bundle of one trust domain: its CAs as a JWK set.
 * @param authorities PEM, one certificate each
 * @param sequence increases with each change
 * @see https://github.com/spiffe/spiffe/blob/main/standards/SPIFFE_Trust_Domain_and_Bundle.md
 */
export function spiffeBundle(authorities: readonly string[], sequence: number): object {
  return {
    spiffe_sequence: sequence,
    spiffe_refresh_hint: REFRESH_HINT,
    keys: authorities.map((pem) => {
      const certificate = new X509Certificate(pem);
      return {
        use: "x509-svid",
        ...certificate.publicKey.export({ format: "jwk" }),
        x5c: [certificate.raw.toString("base64")],
      };
    }),
  };
}
