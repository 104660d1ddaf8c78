import type { AccountTrust, CertificateVersion } from "../contract/change-feed.ts";
import { Failure, type FailureCode } from "../failures/failures.ts";
import type { GatewayBinding } from "../contract/gateway.ts";
import type { HandshakeReport } from "../contract/handshake-report.ts";
import type { GatewayEvent } from "../contract/gateway-event.ts";
import type { AddressOptions, GatewayOptions } from "../contract/gateway-options.ts";

/** What the supervisor asks of the gateway process: method, arguments, result. */
export interface GatewayCalls {
  /** The first. The master key comes this way, never by an argument or the environment. */
  start(masterKey: Uint8Array, options: GatewayOptions): { metricsPort: number | null };
  /** After a restart: all that the process before knew. It listens when this returns. */
  restore(state: GatewayState): void;
  setCertificate(certificate: CertificateVersion): void;
  removeCertificate(accountId: string, certificateId: string): void;
  setTrust(accountId: string, trust: AccountTrust): void;
  adoptMasterKey(masterKey: Uint8Array): void;
  setAddresses(addresses: AddressOptions): void;
  openBinding(binding: GatewayBinding): void;
  closeBinding(socketPath: string): void;
  testHandshake(accountId: string, certificateId: string, url: string): HandshakeReport;
  /** The process ends after it has answered. */
  stop(): void;
}

export interface GatewayState {
  readonly certificates: readonly CertificateVersion[];
  readonly trust: readonly (readonly [accountId: string, trust: AccountTrust])[];
  readonly bindings: readonly GatewayBinding[];
}

export type GatewayMethod = keyof GatewayCalls;

export interface CallMessage<M extends GatewayMethod = GatewayMethod> {
  readonly id: number;
  readonly method: M;
  readonly args: Parameters<GatewayCalls[M]>;
}

export type GatewayMessage =
  | { readonly kind: "result"; readonly id: number; readonly value: unknown }
  | { readonly kind: "error"; readonly id: number; readonly error: SentError }
  | { readonly kind: "events"; readonly events: readonly GatewayEvent[] };

/** A failure between processes. Causes stay behind: they are for the log of where they arose. */
export interface SentError {
  readonly code: FailureCode | null;
  readonly message: string;
  readonly fix: string;
  readonly facts: Readonly<Record<string, unknown>>;
}

export function packError(error: unknown): SentError {
  if (error instanceof Failure) {
    const { code, message, fix, facts } = error;
    return { code, message, fix, facts };
  }
  return { code: null, message: String(error), fix: "", facts: {} };
}

export function unpackError({ code, message, fix, facts }: SentError): Error {
  return code === null ? new Error(message) : new Failure(code, { message, fix, facts });
}
