/** `request.cf.tlsClientAuth` of a client that presented no certificate, as on Cloudflare. */
const NO_CERTIFICATE = {
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
  tlsClientAuth: NO_CERTIFICATE,
});
