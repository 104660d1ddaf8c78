import type { Sealed } from "../keys/seal.ts";

/**
 * A host of the ingress, as the control plane tells an edge about it: everything that TLS and the
 * verification of clients need.
 */
export interface Host {
  /** Lower case, no port. `*.example.com` is any host below it; an exact one goes before it. */
  readonly host: string;
  /** Null: the default one of the installation. */
  readonly certificate: HostCertificate | null;
  /** Null: clients are not asked for a certificate. */
  readonly clients: HostClients | null;
}

/** What a host asks of its clients. */
export interface HostClients {
  /** `optional`: every client is let in, and the Worker gets the facts of its certificate. */
  readonly mode: "optional" | "required";
  /** PEM, one certificate each. None: nobody is verified. */
  readonly authorities: readonly string[];
  /**
   * Certificates that no longer count, of clients and between them and their CA: a SHA-256 in lower
   * case, a serial number in upper case, or a serial number, a space and its issuer as Node prints it.
   */
  readonly revoked: readonly string[];
  /** The Worker gets `Client-Cert` and `Client-Cert-Chain` of RFC 9440. */
  readonly forward: boolean;
}

/** A host whose requests go to an origin, and not to a Worker. */
export interface HostOrigin {
  /** Lower case, no port. `*.example.com` is any host below it. The origin is verified by this name. */
  readonly host: string;
  readonly to: {
    /** As of `OriginPlace`. */
    readonly hosts: readonly string[];
    /** Null: the edge's own for origins that DNS records name. */
    readonly port: number | null;
  };
  /** The client certificate that is presented. Null: none is. */
  readonly certificateId: string | null;
}

/** What a zone says of all its hosts at the ingress: itself, and what is below it and in no nearer zone. */
export interface ZoneRules extends TlsVersions {
  /** Its name: lower case. */
  readonly zone: string;
  /** Plain requests are answered with a redirect. */
  readonly alwaysUseHttps: boolean;
  /** `Strict-Transport-Security` of answers over TLS. Null: nothing is said. */
  readonly strictTransport: string | null;
  /** Answers have `X-Content-Type-Options: nosniff`. */
  readonly noSniff: boolean;
}

/** What may be agreed on in a handshake; `minTls` is not the greater. */
export interface TlsVersions {
  readonly minTls: "TLSv1.2" | "TLSv1.3";
  readonly maxTls: "TLSv1.2" | "TLSv1.3";
}

/** The proof to an ACME server that a host is ours (HTTP-01 of RFC 8555). It is not a secret. */
export interface HostChallenge {
  /** Lower case, no port. */
  readonly host: string;
  readonly token: string;
  readonly keyAuthorization: string;
}

/** Where to connect to an origin. */
export interface OriginPlace {
  /** A name, or addresses without brackets. Of several, any that accepts the connection. */
  readonly hosts: readonly string[];
  readonly port: number;
}

/** A server certificate of an account. The edge opens its key and hands it to the ingress. */
export interface HostCertificate {
  /** Leaf first, PEM. */
  readonly chain: string;
  readonly sealedKey: Sealed;
  /** The id of the place under which the key was sealed (kind `host-key`). */
  readonly sealedId: string;
}

/** The same host as the edge tells it to its ingress. */
export interface ServedHost extends Omit<Host, "certificate"> {
  readonly certificate: ServedCertificate | null;
}

export interface ServedCertificate {
  /** Leaf first, PEM. */
  readonly chain: string;
  /** PEM, in clear: it is told over IPC, from memory to memory. */
  readonly key: string;
}
