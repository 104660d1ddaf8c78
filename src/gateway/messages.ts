import type { DatabaseConfig } from "../contract/database.ts";
import type { AccountTrust, CertificateVersion, ScriptKey } from "../contract/change-feed.ts";
import type { GatewayBinding, IdentityRequest } from "../contract/gateway.ts";
import type { HandshakeReport } from "../contract/handshake-report.ts";
import type { SentError } from "../process/messages.ts";
import type { PassedHandle } from "../process/passed-handle.ts";
import type { CountedMetrics } from "../process/summed-metrics.ts";
import { question, STATE, type CallRules } from "../process/calls.ts";
import type { AddressOptions, GatewayOptions } from "../contract/gateway-options.ts";

/** What the supervisor asks of the gateway process: method, arguments, result. */
export interface GatewayCalls {
  /** The first. The master key comes this way, never by an argument or the environment. */
  start(
    masterKey: Uint8Array,
    options: GatewayOptions,
    hasOthers: boolean,
  ): { metricsPort: number | null };
  /** After a restart: all that the process before knew. It listens when this returns. */
  restore(state: GatewayState): void;
  setCertificate(certificate: CertificateVersion): Promise<void>;
  requestIdentity(key: ScriptKey): IdentityRequest;
  removeCertificate(accountId: string, certificateId: string): void;
  setDatabase(database: DatabaseConfig): void;
  removeDatabase(accountId: string, databaseId: string): void;
  setTrust(accountId: string, trust: AccountTrust): void;
  adoptMasterKey(masterKey: Uint8Array): void;
  setAddresses(addresses: AddressOptions): void;
  openBinding(binding: GatewayBinding): void;
  /** At a socket that this process shares with others. */
  openShared(binding: GatewayBinding, listening: PassedHandle): void;
  closeBinding(socketPath: string): void;
  /** Why a `connect()` through this binding failed here lately, as a Worker asks for it. */
  recentFailure(socketPath: string, url: string): SentError | null;
  testHandshake(accountId: string, certificateId: string, url: string): HandshakeReport;
  testDatabase(accountId: string, databaseId: string, scriptName: string): HandshakeReport;
  /** As Prometheus reads them. */
  metrics(): string;
  /** The same for sums: `Registry.getMetricsAsJSON()`. */
  countedMetrics(): CountedMetrics;
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
    openShared: STATE,
    recentFailure: question(5_000),
    closeBinding: { ...STATE, deadline: drain + STATE.deadline },
    // The name, TCP, TLS, the first read and what `openssl` says, each with a time-out of its own.
    testHandshake: question(60_000),
    testDatabase: question(60_000),
    metrics: question(5_000),
    countedMetrics: question(5_000),
  };
}

export interface GatewayState {
  readonly certificates: readonly CertificateVersion[];
  readonly trust: readonly (readonly [accountId: string, trust: AccountTrust])[];
  readonly databases: readonly DatabaseConfig[];
  readonly bindings: readonly GatewayBinding[];
}
