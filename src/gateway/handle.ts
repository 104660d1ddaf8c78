import type { AccountTrust, EdgeCertificate } from "../edge/source.ts";

/**
 * The supervisor's side of the gateway. It keeps the wanted state, so that a gateway process that
 * ends is started again and told everything it has to know before it listens.
 */
export interface GatewayHandle extends AsyncDisposable {
  /** Adds a certificate or replaces it by a new version: in force for new connections on return. */
  setCertificate(certificate: EdgeCertificate): Promise<void>;
  removeCertificate(accountId: string, certificateId: string): Promise<void>;
  setTrust(accountId: string, trust: AccountTrust): Promise<void>;
  /** Resolves when the gateway listens on `socketPath`. */
  openBinding(binding: GatewayBinding): Promise<void>;
  /** Accepts no new request, lets those in flight end, closes, unlinks. */
  closeBinding(socketPath: string): Promise<void>;
}

/** A binding is a socket: whoever reaches it may present the certificate. */
export interface GatewayBinding {
  /** Mode 0600, relative to the run directory, the working directory of every process of the edge. */
  readonly socketPath: string;
  readonly accountId: string;
  readonly scriptName: string;
  readonly bindingName: string;
  readonly certificateId: string;
}
