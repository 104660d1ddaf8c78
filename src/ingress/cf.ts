import type { CipherNameAndProtocol, TLSSocket } from "node:tls";

/** `request.cf.tlsClientAuth` of a client that presented no certificate, as on Cloudflare. */
export const NO_CLIENT_CERTIFICATE = {
  certPresented: "0",
  certVerified: "NONE",
  certRevoked: "0",
  certIssuerDN: "",
  certSubjectDN: "",
  certIssuerDNRFC2253: "",
  certSubjectDNRFC2253: "",
  certIssuerDNLegacy: "",
  certSubjectDNLegacy: "",
  certSerial: "",
  certIssuerSerial: "",
  certSKI: "",
  certIssuerSKI: "",
  certFingerprintSHA1: "",
  certFingerprintSHA256: "",
  certNotBefore: "",
  certNotAfter: "",
  certRFC9440: "",
  certRFC9440TooLarge: false,
  certChainRFC9440: "",
  certChainRFC9440TooLarge: false,
};

/** `request.cf`, as JSON, of a request over plain HTTP. */
export const PLAIN_HTTP_CF: string = JSON.stringify({
  httpProtocol: "HTTP/1.1",
  tlsVersion: "",
  tlsCipher: "",
  tlsClientAuth: NO_CLIENT_CERTIFICATE,
});

const connections = new WeakMap<TLSSocket, { readonly clientAuth: object; readonly cf: string }>();

/**
 * `request.cf`, as JSON, of a request over TLS: the same for all of a connection.
 * @param clientAuth the same object for as long as it says the same
 */
export function secureCf(socket: TLSSocket, clientAuth: object): string {
  const known = connections.get(socket);
  if (known?.clientAuth === clientAuth) return known.cf;
  const cf = JSON.stringify({
    httpProtocol: socket.alpnProtocol === "h2" ? "HTTP/2" : "HTTP/1.1",
    tlsVersion: socket.getProtocol() ?? "",
    tlsCipher: cipherName(socket.getCipher()),
    tlsClientAuth: clientAuth,
  });
  connections.set(socket, { clientAuth, cf });
  return cf;
}

/** As Cloudflare names them: `AEAD-AES128-GCM-SHA256` of TLS 1.3, OpenSSL's names of TLS 1.2. */
export function cipherName({ name }: Pick<CipherNameAndProtocol, "name">): string {
  const [, kind = "", size = "", rest = ""] =
    /^TLS_(AES|CHACHA20)_(128|256)?_?(GCM_SHA\d+|POLY1305)(?:_SHA256)?$/.exec(name) ?? [];
  if (kind === "") return name;
  return `AEAD-${kind}${size}-${rest.replace("_", "-")}${kind === "CHACHA20" ? "-SHA256" : ""}`;
}
