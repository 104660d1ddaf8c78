import type { FailureCode } from "../failures/failures.ts";

/** One handshake with an origin, step by step. What was not reached is null. */
export interface HandshakeReport {
  readonly origin: string;
  /** Null: the database's configuration presents none. */
  readonly certificateId: string | null;
  readonly version: number | null;
  /** Leaf first: what was presented. Empty: the origin was not verified, or did not ask. */
  readonly presented: readonly ReportedCertificate[];
  readonly address: string | null;
  readonly connectMs: number | null;
  /**
   * How the database was asked to begin TLS, if it agreed. Null: it is no database, or it did not
   * agree.
   */
  readonly asksTls: { readonly request: string; readonly ms: number } | null;
  readonly tls: {
    readonly version: string;
    /** `TLS_AES_256_GCM_SHA384` */
    readonly cipher: string;
    /** `X25519`. Null: Node does not name it (post-quantum groups among them). */
    readonly keyExchange: string | null;
    readonly protocol: string | null;
    readonly handshakeMs: number;
    /** The origin asked for a certificate. */
    readonly asked: boolean;
  } | null;
  /** Leaf first, as far as the origin sent it or it was found among the trusted. */
  readonly originChain: readonly ReportedCertificate[];
  /** The CAs the origin says it accepts. Empty: any. Null: not known (`openssl` is not installed). */
  readonly acceptedAuthorities: readonly string[] | null;
  /** Of a Hyperdrive configuration: who signed in, and for which database. Null: nobody, or not yet. */
  readonly signIn: { readonly user: string; readonly database: string; readonly ms: number } | null;
  readonly verdict:
    | { readonly ok: true; readonly message: string }
    | {
        readonly ok: false;
        readonly code: FailureCode;
        readonly message: string;
        readonly cause: string;
        readonly fix: string;
      };
}

export interface ReportedCertificate {
  readonly subject: string;
  readonly issuer: string;
  readonly names: readonly string[];
  readonly notBefore: string;
  readonly notAfter: string;
  readonly fingerprint: string;
}
