import type { Sealed } from "../keys/seal.ts";
import type { BoundDatabase, DatabaseConfig } from "./database.ts";
import type { AccountTrust, CertificateVersion, ScriptKey } from "./change-feed.ts";
import type { ProcessStatus } from "./edge.ts";
import type { ConnectionTests } from "./connection-tests.ts";
import type { AddressOptions } from "./gateway-options.ts";
import type { OriginPlace } from "./hosts.ts";

/**
 * The supervisor's side of the gateway. It keeps the wanted state, so that a gateway process that
 * ends is started again and told everything it has to know before it listens.
 */
export interface GatewayHandle extends ConnectionTests, AsyncDisposable {
  /**
   * Adds a certificate or replaces it by a new version: in force for new requests on return. With
   * `revokedOn` set, its connections are cut.
   * @throws Failure if it does not parse, match or open, or has expired: what was there before
   * stays in use
   */
  setCertificate(certificate: CertificateVersion): Promise<void>;
  /**
   * Makes a key for the next version of a Worker's identity, and the request for its certificate.
   * The key leaves the gateway sealed: with the signed chain it becomes a certificate as any other.
   */
  requestIdentity(key: ScriptKey): Promise<IdentityRequest>;
  /** Cuts its connections. A binding of it answers `certificate_gone`. */
  removeCertificate(accountId: string, certificateId: string): Promise<void>;
  /** @throws Failure `trust_unusable`: the trust before stays in force */
  setTrust(accountId: string, trust: AccountTrust): Promise<void>;
  /** A Hyperdrive configuration, in force for the next connection on return. */
  setDatabase(database: DatabaseConfig): Promise<void>;
  /** Cuts its connections. A binding of it answers `database_gone`. */
  removeDatabase(accountId: string, databaseId: string): Promise<void>;
  /** Changes which addresses may be connected to, from the next connection on. */
  setAddresses(addresses: AddressOptions): Promise<void>;
  /** Opens what this master key (32 bytes) sealed, too, from now on and after a restart. */
  adoptMasterKey(masterKey: Uint8Array): Promise<void>;
  /** Resolves when the gateway listens on `socketPath`. */
  openBinding(binding: GatewayBinding): Promise<void>;
  /** Accepts no new request, lets those in flight end, closes, unlinks. */
  closeBinding(socketPath: string): Promise<void>;
  /** Of all its processes together. */
  status(): ProcessStatus;
  processes(): readonly ProcessStatus[];
  /** As Prometheus reads them. */
  metrics(): Promise<string>;
  /** The port on 127.0.0.1 that Prometheus reads. Null: not asked for, or not running now. */
  metricsPort(): number | null;
}

export interface IdentityRequest {
  /** PKCS #10, PEM. */
  readonly csr: string;
  readonly sealedKey: Sealed;
  /** The id of the place under which the key was sealed. */
  readonly sealedId: string;
}

/** In place of an id, for a binding that presents no certificate. */
export const NO_CERTIFICATE = "";

/** A binding is a socket: any program that can connect to it can present the certificate. */
export interface GatewayBinding {
  /** Mode 0600, relative to the run directory, the working directory of every process of the edge. */
  readonly socketPath: string;
  readonly accountId: string;
  readonly scriptName: string;
  readonly bindingName: string;
  /** `NO_CERTIFICATE`: nothing is presented. */
  readonly certificateId: string;
  /**
   * The binding leads to an origin: requests name their host in `Host`, as the ingress passes them
   * on, and go there. The origin is verified by the host's name. Absent: URLs are absolute.
   */
  readonly front?: OriginPlace;
  /** The `accept-encoding` of requests that have none: what the Worker's runtime decodes. Absent: none. */
  readonly decodes?: string;
  /** Set for a `hyperdrive` binding: what it leads to. The certificate is the configuration's then. */
  readonly database?: BoundDatabase;
}
