import { extname } from "node:path";
import { fileURLToPath } from "node:url";
import { pino } from "pino";
import { keyIn } from "../contract/key-in.ts";
import type { DatabaseConfig } from "../contract/database.ts";
import type { AccountTrust, CertificateVersion, ScriptKey } from "../contract/change-feed.ts";
import type { ProcessStatus } from "../contract/edge.ts";
import type { GatewayBinding, GatewayHandle, IdentityRequest } from "../contract/gateway.ts";
import type { GatewayEvent } from "../contract/gateway-event.ts";
import type { HandshakeReport } from "../contract/handshake-report.ts";
import {
  defaultOptions,
  type AddressOptions,
  type GatewayOptions,
} from "../contract/gateway-options.ts";
import { Failure } from "../failures/failures.ts";
import type { SentError } from "../process/messages.ts";
import type { PassedHandle } from "../process/passed-handle.ts";
import { shareOf, someOf, type ProcessPlace } from "../process/place.ts";
import type { CountedMetrics } from "../process/summed-metrics.ts";
import { Supervised, type Tell } from "../process/supervised.ts";
import { gatewayEnvironment } from "./environment.ts";
import { gatewayRules, type GatewayCalls } from "./messages.ts";
import type { StartGatewayOptions } from "./start-options.ts";

/** Keeps the wanted state, which each new process is told before it listens. */
export class SupervisedGateway implements GatewayHandle {
  readonly #masterKey: Uint8Array;
  /** Those that came since, in order. */
  readonly #adoptedKeys: Uint8Array[] = [];
  readonly #certificates: Map<string, CertificateVersion> = new Map();
  readonly #databases: Map<string, DatabaseConfig> = new Map();
  readonly #trust: Map<string, AccountTrust> = new Map();
  readonly #bindings: Map<string, GatewayBinding> = new Map();
  /** Those whose socket this process shares with others, by the same path. */
  readonly #shared: Map<string, PassedHandle> = new Map();
  readonly #place: ProcessPlace;
  #options: GatewayOptions;
  #process: Supervised<GatewayCalls> | null = null;
  #metricsPort: number | null = null;

  /** @param place which of how many processes: limits are dealt out among them */
  constructor(options: StartGatewayOptions, place: ProcessPlace) {
    this.#place = place;
    const { addresses, timeouts, metricsPort, otlpEndpoint, logLevel, ...rest } = options;
    this.#masterKey = Uint8Array.from(options.masterKey);
    const share = (limit: DealtLimit): number =>
      shareOf(rest[limit] ?? defaultOptions[limit], place);
    const some = (limit: "bindingLookups" | "accountLookups" | "explanations"): number =>
      someOf(rest[limit] ?? defaultOptions[limit], place);
    this.#options = {
      failureDetails: rest.failureDetails ?? defaultOptions.failureDetails,
      useSystemRoots: rest.useSystemRoots ?? defaultOptions.useSystemRoots,
      unsafeOldTls: rest.unsafeOldTls ?? defaultOptions.unsafeOldTls,
      metricsPort: metricsPort ?? defaultOptions.metricsPort,
      otlpEndpoint: otlpEndpoint ?? defaultOptions.otlpEndpoint,
      logLevel: logLevel ?? defaultOptions.logLevel,
      connections: share("connections"),
      resumption: rest.resumption ?? defaultOptions.resumption,
      http2: rest.http2 ?? defaultOptions.http2,
      postgresPorts: rest.postgresPorts ?? defaultOptions.postgresPorts,
      mysqlPorts: rest.mysqlPorts ?? defaultOptions.mysqlPorts,
      streams: share("streams"),
      bindingConnections: share("bindingConnections"),
      workerConnections: share("workerConnections"),
      accountConnections: share("accountConnections"),
      bindingLookups: some("bindingLookups"),
      accountLookups: some("accountLookups"),
      explanations: some("explanations"),
      addresses: { ...defaultOptions.addresses, ...addresses },
      timeouts: { ...defaultOptions.timeouts, ...timeouts },
    };
  }

  /** @param onAsk answers what the process asks of the others. Default: it has none */
  async start(
    options: StartGatewayOptions,
    onAsk?: (question: unknown) => Promise<unknown>,
  ): Promise<void> {
    const { runDirectory, log = pino({ level: "silent" }), processes = null, onEvent } = options;
    const { user = null } = options;
    try {
      this.#process = await Supervised.start<GatewayCalls>({
        name: this.#place.count === 1 ? "gateway" : `gateway ${this.#place.index + 1}`,
        modulePath:
          options.modulePath ??
          fileURLToPath(new URL(`./main${extname(import.meta.url)}`, import.meta.url)),
        // With a user of its own it could not even pass through to the run directory.
        workingDirectory: user === null ? runDirectory : "/",
        user,
        // They join the public roots in Node's one store, which all TLS contexts share.
        flags: this.#options.useSystemRoots ? ["--use-system-ca"] : [],
        environment: gatewayEnvironment(process.env),
        processes,
        log,
        onEvent: (batch) => {
          for (const event of batch as readonly GatewayEvent[]) onEvent?.(event);
        },
        ...(onAsk && { onAsk }),
        rules: gatewayRules(this.#options.timeouts.drain),
        restore: (tell) => this.#restore(tell),
      });
    } catch (error) {
      this.#wipe();
      throw error;
    }
  }

  async setCertificate(certificate: CertificateVersion): Promise<void> {
    const key = keyIn(certificate.accountId, certificate.certificateId);
    try {
      await this.#call("setCertificate", certificate);
    } catch (error) {
      // Remembered anyway, so that after a restart its bindings still get the reason. A certificate
      // that may have ended the process is not remembered, because it would end the next one.
      const refused = error instanceof Failure && error.entry.side !== "platform";
      if (refused && !this.#certificates.has(key)) this.#certificates.set(key, certificate);
      throw error;
    }
    this.#certificates.set(key, certificate);
  }

  requestIdentity(key: ScriptKey): Promise<IdentityRequest> {
    return this.#call("requestIdentity", key);
  }

  async removeCertificate(accountId: string, certificateId: string): Promise<void> {
    this.#certificates.delete(keyIn(accountId, certificateId));
    await this.#call("removeCertificate", accountId, certificateId);
  }

  async setDatabase(database: DatabaseConfig): Promise<void> {
    await this.#call("setDatabase", database);
    this.#databases.set(keyIn(database.accountId, database.databaseId), database);
  }

  async removeDatabase(accountId: string, databaseId: string): Promise<void> {
    this.#databases.delete(keyIn(accountId, databaseId));
    await this.#call("removeDatabase", accountId, databaseId);
  }

  async setTrust(accountId: string, trust: AccountTrust): Promise<void> {
    await this.#call("setTrust", accountId, trust);
    this.#trust.set(accountId, trust);
  }

  async adoptMasterKey(masterKey: Uint8Array): Promise<void> {
    this.#adoptedKeys.push(Uint8Array.from(masterKey));
    await this.#call("adoptMasterKey", Uint8Array.from(masterKey));
  }

  async setAddresses(addresses: AddressOptions): Promise<void> {
    await this.#call("setAddresses", addresses);
    this.#options = { ...this.#options, addresses };
  }

  async openBinding(binding: GatewayBinding): Promise<void> {
    await this.#call("openBinding", binding);
    this.#bindings.set(binding.socketPath, binding);
  }

  /** The same at a socket that others accept from as well. */
  async openShared(binding: GatewayBinding, listening: PassedHandle): Promise<void> {
    await this.#call("openShared", binding, listening);
    this.#bindings.set(binding.socketPath, binding);
    this.#shared.set(binding.socketPath, listening);
  }

  recentFailure(socketPath: string, url: string): Promise<SentError | null> {
    return this.#call("recentFailure", socketPath, url);
  }

  countedMetrics(): Promise<CountedMetrics> {
    return this.#call("countedMetrics");
  }

  async closeBinding(socketPath: string): Promise<void> {
    this.#shared.delete(socketPath);
    this.#bindings.delete(socketPath);
    await this.#call("closeBinding", socketPath);
  }

  testHandshake(
    accountId: string,
    certificateId: string,
    url: string,
    signal?: AbortSignal,
  ): Promise<HandshakeReport> {
    return this.#process!.call("testHandshake", [accountId, certificateId, url], signal);
  }

  testDatabase(
    accountId: string,
    databaseId: string,
    scriptName: string,
    signal?: AbortSignal,
  ): Promise<HandshakeReport> {
    return this.#process!.call("testDatabase", [accountId, databaseId, scriptName], signal);
  }

  processes(): readonly ProcessStatus[] {
    return [this.status()];
  }

  status(): ProcessStatus {
    return this.#process!.status();
  }

  metrics(): Promise<string> {
    return this.#call("metrics");
  }

  metricsPort(): number | null {
    return this.status().state === "running" ? this.#metricsPort : null;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#process!.stop(STOP_GRACE);
    this.#wipe();
  }

  #call<M extends keyof GatewayCalls>(
    method: M,
    ...args: Parameters<GatewayCalls[M]>
  ): Promise<ReturnType<GatewayCalls[M]>> {
    return this.#process!.call(method, args);
  }

  async #restore(tell: Tell<GatewayCalls>): Promise<void> {
    const { metricsPort } = await tell(
      "start",
      Uint8Array.from(this.#masterKey),
      this.#options,
      this.#place.count > 1,
    );
    for (const key of this.#adoptedKeys) await tell("adoptMasterKey", Uint8Array.from(key));
    await tell("restore", {
      certificates: [...this.#certificates.values()],
      trust: [...this.#trust],
      databases: [...this.#databases.values()],
      bindings: [...this.#bindings.values()].filter(
        ({ socketPath }) => !this.#shared.has(socketPath),
      ),
    });
    for (const [socketPath, listening] of this.#shared) {
      await tell("openShared", this.#bindings.get(socketPath)!, listening);
    }
    this.#metricsPort = metricsPort;
  }

  #wipe(): void {
    for (const key of [this.#masterKey, ...this.#adoptedKeys]) key.fill(0);
  }
}

/** ms to end what is in flight */
const STOP_GRACE = 2_000;

/** Each process gets a share of these. */
export const DEALT_LIMITS = [
  "connections",
  "streams",
  "bindingConnections",
  "workerConnections",
  "accountConnections",
] as const;
type DealtLimit = (typeof DEALT_LIMITS)[number];
