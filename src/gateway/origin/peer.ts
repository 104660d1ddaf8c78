/** What the server showed of itself. */
export interface PeerFacts {
  /** `CN=client,O=Acme`. Empty: it names no subject. */
  readonly subject: string;
  readonly issuer: string;
  /** `DNS:api.example.com`, `IP Address:10.0.0.1`. */
  readonly names: readonly string[];
  readonly notBefore: string;
  readonly notAfter: string;
  readonly fingerprint: string;
}
