import type { DatabaseConfig } from "../contract/database.ts";
import type { AccountTrust, CertificateVersion, ScriptKey } from "../contract/change-feed.ts";
import type { GatewayBinding, IdentityRequest } from "../contract/gateway.ts";
import type { HandshakeReport } from "../contract/handshake-report.ts";
import { question, STATE, type CallRules } from "../process/calls.ts";
import type { AddressOptions, GatewayOptions } from "../contract/gateway-options.ts";

/** What the supervisor asks of the gateway process: method, arguments, result. */
export interface GatewayCalls {
  /** The first. The master key comes this way, never by an argument or the environment. */
  start(masterKey: Uint8Array, options: GatewayOptions): { metricsPort: number | null };
  /** After a restart: all that the process before knew. It listens when this returns. */
  restore(state: GatewayState): void;
  setCertificate(certificate: CertificateVersion): void;
  requestIdentity(key: ScriptKey): IdentityRequest;
  removeCertificate(accountId: string, certificateId: string): void;
  setDatabase(database: DatabaseConfig): void;
  removeDatabase(accountId: string, databaseId: string): void;
  setTrust(accountId: string, trust: AccountTrust): void;
  adoptMasterKey(masterKey: Uint8Array): void;
  setAddresses(addresses: AddressOptions): void;
  openBinding(binding: GatewayBinding): void;
  closeBinding(socketPath: string): void;
  testHandshake(accountId: string, certificateId: string, url: string): HandshakeReport;
  testDatabase(accountId: string, databaseId: string, scriptName: string): HandshakeReport;
  /** As Prometheus reads them. */
  metrics(): string;
}

/** @param drain ms that a binding which is closed may go on with what is in flight */
export function gatewayRules(drain: number): CallRules<GatewayCalls> {
  return {
    start: STATE,
    restore: STATE,
    setCertificate: STATE,
    requestIdentity: question(10_000),
    removeCertificate: STATE,
    setDatabase: STATE,
    removeDatabase: STATE,
    setTrust: STATE,
    adoptMasterKey: STATE,
    setAddresses: STATE,
    openBinding: STATE,
    closeBinding: { ...STATE, deadline: drain + STATE.deadline },
    // The name, TCP, TLS, the first read and what `openssl` says, each with a time-out of its own.
    testHandshake: question(60_000),
    testDatabase: question(60_000),
    metrics: question(5_000),
  };
}

export interface GatewayState {
  readonly certificates: readonly CertificateVersion[];
  readonly trust: readonly (readonly [accountId: string, trust: AccountTrust])[];
  readonly databases: readonly DatabaseConfig[];
  readonly bindings: readonly GatewayBinding[];
}
