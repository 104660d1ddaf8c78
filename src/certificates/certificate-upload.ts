/** What a client sends to have a certificate stored: PEM text, in any order, in one file or two. */
export interface CertificateUpload {
  /** Leaf, chain and (combined files) the private key. For a CA: one or more CA certificates. */
  readonly certificates: string;
  readonly privateKey?: string;
  readonly ca: boolean;
  /** Accept an expired or not yet valid certificate. Default: false. */
  readonly allowExpired?: boolean;
  /** The clock to judge by. */
  readonly now: Date;
  /** The account's CAs, PEM: a chain that ends at one of them is complete. Default: none. */
  readonly authorities?: readonly string[];
}

/** A `Certificate` object is always valid: it was parsed and checked once, here. */
export type ParsedUpload = ParsedLeaf | ParsedAuthority;

export interface ParsedLeaf {
  readonly kind: "leaf";
  /** Leaf first, then each issuer; normalised PEM, no key. */
  readonly chain: string;
  /** Unencrypted PKCS #8, PEM. To be sealed at once. */
  readonly privateKey: string;
  readonly facts: CertificateFacts;
  readonly warnings: readonly UploadWarning[];
  /** Those of the warnings that neither time nor other certificates change. */
  readonly standing: readonly UploadWarning[];
}

export interface ParsedAuthority {
  readonly kind: "ca";
  /** One or more CA certificates, normalised PEM. */
  readonly bundle: string;
  /** Of the first certificate. */
  readonly facts: CertificateFacts;
  readonly warnings: readonly UploadWarning[];
  /** As of a leaf. */
  readonly standing: readonly UploadWarning[];
}

export interface CertificateFacts {
  /** As OpenSSL prints it with RFC 2253 order: `CN=client,O=Acme`. */
  readonly subject: string;
  /** Reversed DN without spaces, as Cloudflare prints it: `CN=Root CA,O=Acme,C=US`. */
  readonly issuer: string;
  /** Decimal, as Cloudflare prints it. */
  readonly serialNumber: string;
  /** `SHA256WithRSA`, `ECDSAWithSHA256`, `Ed25519`: the names of cfssl, which Cloudflare's API shows. */
  readonly signature: string;
  readonly notBefore: Date;
  readonly notAfter: Date;
  /** SHA-256 over the DER of the leaf, 64 lower case hex digits. */
  readonly fingerprint: string;
  /** SHA-256 over the DER of all certificates, in stored order: finds duplicates. */
  readonly contentHash: string;
  /** Subject alternative names: `DNS:api.example.com`, `IP:10.0.0.1`, `URI:spiffe://…`. */
  readonly names: readonly string[];
  /** `RSA 2048`, `RSA-PSS 3072`, `EC P-256`, `Ed25519`, `ML-DSA-65`. */
  readonly key: string;
  /**
   * SHA-256 over the subjectPublicKeyInfo, 64 lower case hex digits: finds the certificate of a
   * key.
   */
  readonly publicKeyHash: string;
}

/** Stored all the same, but worth a sentence. */
export interface UploadWarning {
  readonly code:
    | "chain_incomplete"
    | "client_auth_missing"
    | "digital_signature_missing"
    | "expires_soon"
    | "leaf_is_ca"
    | "private_key_dropped"
    | "trusted_as_itself"
    | "version_1"
    | "expired"
    | "not_yet_valid";
  readonly message: string;
}
