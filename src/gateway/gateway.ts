import { isDeepStrictEqual } from "node:util";
import type { Keyring } from "../keys/seal.ts";
import type { AccountTrust, CertificateVersion, ScriptKey } from "../contract/change-feed.ts";
import { Failure } from "../failures/failures.ts";
import { Acceptance } from "./accepted.ts";
import { BindingSocket } from "./binding.ts";
import { frontName } from "./front.ts";
import type { Credential } from "../certificates/credential.ts";
import { type Clock, systemClock } from "./clock.ts";
import { HeldCertificates } from "./origin/held-certificates.ts";
import { Sweeper } from "./origin/sweeper.ts";
import { parseOrigin, parseTarget } from "./origin/destination.ts";
import { type GatewayBinding, type IdentityRequest, NO_CERTIFICATE } from "../contract/gateway.ts";
import { requestIdentity } from "./identity-request.ts";
import type { GatewayState } from "./messages.ts";
import { testHandshake } from "./handshake-test.ts";
import type { HandshakeReport } from "../contract/handshake-report.ts";
import type { AddressOptions, GatewayOptions } from "../contract/gateway-options.ts";
import { originOpener } from "./open.ts";
import { type SentError, packError } from "../process/messages.ts";
import type { PassedHandle } from "../process/passed-handle.ts";
import { Pools } from "./origin/pools.ts";
import type { Observer } from "./observe/observe.ts";
import { changeVersion } from "./rotation.ts";
import type { Route } from "./route.ts";
import type { RouteTracing, Tracing } from "./observe/tracing.ts";
import { Databases } from "./database/databases.ts";
import { DatabaseSocket } from "./database/socket.ts";
import type { DatabaseConfig } from "../contract/database.ts";
import type { Listening } from "./unix-socket.ts";
import { SecureContexts, checkTrust, noTrust, trustFor } from "./origin/trust.ts";
import { Cuts } from "./cuts.ts";
import { refuseHost } from "./origin/refused-host.ts";
import { Networks } from "./networks.ts";
import { WorkerShares } from "./worker-shares.ts";

export interface GatewayDependencies {
  readonly keyring: Keyring;
  readonly options: GatewayOptions;
  readonly observer: Observer;
  /** Not disposed of here: spans end until the gateway is. Default: none. */
  readonly tracing?: Tracing | null;
  /** What `recentFailure` says in the other processes. Default: there are none. */
  readonly askOthers?: ((socketPath: string, url: string) => Promise<Failure | null>) | null;
  /** Default: the system's. */
  readonly clock?: Clock;
}

/**
 * Everything in the gateway process: certificates, trust, bindings, and their connections. When a
 * method that changes something has returned or resolved, the change is in force for the next request.
 */
export class Gateway implements AsyncDisposable {
  readonly #dependencies: GatewayDependencies;
  readonly #contexts: SecureContexts;
  readonly #certificates: HeldCertificates;
  readonly #clock: Clock;
  readonly #sweeper: Sweeper;
  readonly #trust: Map<string, AccountTrust> = new Map();
  readonly #bindings: Map<string, BindingSocket | DatabaseSocket> = new Map();
  readonly #acceptance: Acceptance;
  readonly #networks: Networks;
  readonly #shares: WorkerShares;
  readonly pools: Pools;
  readonly databases: Databases;
  readonly #cuts: Cuts;

  constructor(dependencies: GatewayDependencies) {
    this.#dependencies = dependencies;
    const { keyring, options, observer, clock = systemClock } = dependencies;
    this.#clock = clock;
    this.#shares = new WorkerShares(options);
    this.#networks = new Networks(options);
    this.#acceptance = new Acceptance((scope) => this.#networks.of(scope), options.explanations);
    this.#certificates = new HeldCertificates(keyring, clock);
    this.#contexts = new SecureContexts(keyring, options.unsafeOldTls);
    this.pools = new Pools(
      originOpener({
        network: (scope) => this.#networks.of(scope),
        contexts: this.#contexts,
        options,
        observer,
      }),
      options,
      clock,
    );
    this.databases = new Databases({
      keyring,
      contexts: this.#contexts,
      credential: (accountId, id, host) => {
        const credential = this.credential(accountId, id);
        this.#checkHost(credential, host);
        this.#sweeper.bringForward(credential.notAfter);
        return credential;
      },
      trust: (accountId) => this.trust(accountId),
      network: (owner) => this.#networks.of(owner),
      shares: this.#shares,
    });
    this.#cuts = new Cuts(this.pools, this.databases);
    this.#sweeper = new Sweeper(clock, (now) => this.#sweep(now));
  }

  /**
   * Certificates that another process of this gateway has verified. They are not verified again.
   */
  async restore({ certificates, trust, databases, bindings }: GatewayState): Promise<void> {
    for (const certificate of certificates) this.#certificates.restore(certificate);
    for (const [accountId, one] of trust) this.#trust.set(accountId, one);
    for (const database of databases) this.databases.set(database);
    await Promise.all(bindings.map((binding) => this.openBinding(binding)));
  }

  /**
   * @throws Failure if it cannot be presented (does not parse or match, has expired). What was in
   * use before stays in use.
   */
  async setCertificate(certificate: CertificateVersion): Promise<void> {
    const { accountId, certificateId, revokedOn, revokedVersions = [] } = certificate;
    this.#certificates.set(certificate);
    if (revokedOn !== null) {
      this.#cut(accountId, certificateId, "was revoked");
      return;
    }
    if (revokedVersions.length > 0) this.#cuts.versions(certificate, revokedVersions);
    await changeVersion([...this.#bindings.values()], certificate);
  }

  requestIdentity(key: ScriptKey): Promise<IdentityRequest> {
    return requestIdentity(key, this.#dependencies.keyring);
  }

  removeCertificate(accountId: string, certificateId: string): void {
    this.#certificates.remove(accountId, certificateId);
    this.#cut(accountId, certificateId, "was deleted");
  }

  setDatabase(database: DatabaseConfig): void {
    this.databases.set(database);
  }

  removeDatabase(accountId: string, databaseId: string): void {
    this.databases.remove(accountId, databaseId);
  }

  /** @throws Failure `trust_unusable`: the trust before stays in force */
  setTrust(accountId: string, trust: AccountTrust): void {
    checkTrust(accountId, trust);
    this.#trust.set(accountId, trust);
    this.#refresh((binding) => binding.accountId === accountId);
  }

  /** Opens what this master key sealed, too. The array is emptied. */
  adoptMasterKey(masterKey: Uint8Array): void {
    this.#dependencies.keyring.adopt(masterKey);
    masterKey.fill(0);
  }

  /** In force for new connections. @throws TypeError for what is not a range */
  setAddresses(addresses: AddressOptions): void {
    this.#networks.setAddresses(addresses);
  }

  /** A port of this process, which no binding reaches. */
  reservePort(port: number): void {
    this.#networks.reservePort(port);
  }

  async openBinding(binding: GatewayBinding): Promise<void> {
    const open = this.#bindings.get(binding.socketPath);
    if (open !== undefined && isDeepStrictEqual(open.binding, binding)) return;
    await this.closeBinding(binding.socketPath);
    await this.#open(binding, binding.socketPath);
  }

  /** The same at a socket that other processes accept from as well. Asked again, it stays open. */
  async openShared(binding: GatewayBinding, listening: PassedHandle): Promise<void> {
    if (!this.#bindings.has(binding.socketPath)) await this.#open(binding, listening);
  }

  async #open(binding: GatewayBinding, listening: Listening): Promise<void> {
    const socket = this.#socketFor(binding);
    this.#bindings.set(binding.socketPath, socket);
    await socket.listen(listening);
  }

  /** For a Worker that asks for it at another process. */
  recentFailure(socketPath: string, url: string): SentError | null {
    const socket = this.#bindings.get(socketPath);
    const failure = socket instanceof BindingSocket ? socket.recentFailure(url) : null;
    return failure && packError(failure);
  }

  #socketFor(binding: GatewayBinding): BindingSocket | DatabaseSocket {
    const { observer, options, askOthers = null } = this.#dependencies;
    if (binding.database !== undefined) {
      const router = this.databases.router(binding, binding.database, observer);
      return new DatabaseSocket(binding, binding.database, router);
    }
    return new BindingSocket(binding, {
      route: (origin) => this.#route(binding, origin),
      release: (route) => this.pools.release(route.pool),
      traffic: observer.traffic(binding),
      tracing: (origin) => this.#tracing(binding, origin, null),
      clock: this.#clock,
      mostConnections: options.bindingConnections,
      askOthers: askOthers && ((url) => askOthers(binding.socketPath, url)),
      stream: () => this.#shares.stream(binding),
      connection: () => this.#shares.connection(binding),
    });
  }

  async closeBinding(socketPath: string): Promise<void> {
    const socket = this.#bindings.get(socketPath);
    this.#bindings.delete(socketPath);
    await socket?.close(this.#dependencies.options.timeouts.drain);
  }

  /** The version that a binding would present now. @throws Failure why it would present none */
  credential(accountId: string, certificateId: string): Credential {
    return this.#certificates.credential(accountId, certificateId);
  }

  /** Every certificate that can be presented. */
  credentials(): Credential[] {
    return this.#certificates.usable();
  }

  trust(accountId: string): AccountTrust {
    return this.#trust.get(accountId) ?? noTrust;
  }

  /**
   * @param signal aborts when the caller no longer waits for the report: the connection is closed
   * @throws Failure if the certificate cannot be presented, or the URL is none
   */
  async testHandshake(
    accountId: string,
    certificateId: string,
    url: string,
    signal?: AbortSignal,
  ): Promise<HandshakeReport> {
    const credential = this.credential(accountId, certificateId);
    const target = parseTarget(url);
    this.#checkHost(credential, target.destination.host);
    return testHandshake({
      credential,
      trust: trustFor(credential, this.trust(accountId), target.destination.host),
      target,
      network: { ...this.#networks.of({ accountId, scriptName: "", bindingName: "" }), signal },
      contexts: this.#contexts,
    });
  }

  /**
   * The same with the database of a Hyperdrive configuration, and a sign-in.
   * @param scriptName the Worker whose identity is presented, if the configuration presents one
   * @throws Failure `database_gone`, or why the certificate cannot be presented
   */
  testDatabase(
    accountId: string,
    databaseId: string,
    scriptName: string,
    signal?: AbortSignal,
  ): Promise<HandshakeReport> {
    return testHandshake(
      this.databases.tested(databaseId, { accountId, scriptName, bindingName: "" }, signal),
    );
  }

  /** Something was thrown where nothing catches it: what is in flight is told, this process ends. */
  abandon(): void {
    const failure = new Failure("edge_process_ended", {
      message: "the gateway ended while it worked on this request",
    });
    for (const socket of this.#bindings.values()) socket.abandon(failure);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#sweeper.stop();
    const sockets = [...this.#bindings.values()];
    this.#bindings.clear();
    const closed = sockets.map((socket) => socket.close(0));
    await this.pools.close();
    await Promise.all(closed);
  }

  #route(binding: GatewayBinding, text: string): Route {
    const { accountId, scriptName, bindingName, certificateId } = binding;
    const { origin, destination: named } = parseOrigin(text);
    const destination = { ...named, at: binding.front?.hosts };
    const credential =
      certificateId === NO_CERTIFICATE ? null : this.credential(accountId, certificateId);
    if (credential !== null) this.#checkHost(credential, destination.host);
    const trust = trustFor(credential, this.trust(accountId), destination.host);
    const scope = { accountId, scriptName, bindingName, credential, trust, origin, destination };
    const until = credential?.notAfter ?? Infinity;
    this.#sweeper.bringForward(until);
    return {
      pool: this.pools.acquire(scope),
      traffic: this.#dependencies.observer.traffic(binding),
      tracing: this.#tracing(binding, origin, credential?.version ?? null),
      acceptance: this.#acceptance,
      until,
      front: binding.front === undefined ? null : frontName(binding),
      encodings: binding.decodes === undefined ? null : ["accept-encoding", binding.decodes],
      used: true,
    };
  }

  #tracing(binding: GatewayBinding, origin: string, version: number | null): RouteTracing | null {
    return this.#dependencies.tracing?.route(binding, origin, version) ?? null;
  }

  #checkHost(credential: Credential, host: string): void {
    refuseHost(credential, this.trust(credential.accountId).proxied, host);
  }

  #refresh(concerned: (binding: GatewayBinding) => boolean): void {
    for (const socket of this.#bindings.values()) {
      if (concerned(socket.binding)) socket.refresh();
    }
  }

  #cut(accountId: string, certificateId: string, what: string): void {
    this.#cuts.certificate({ accountId, certificateId }, what);
    this.#refresh(
      (binding) => binding.accountId === accountId && binding.certificateId === certificateId,
    );
    this.#retainContexts();
  }

  #retainContexts(): void {
    this.#contexts.retain([
      ...this.pools.all().map(({ scope }) => scope),
      ...this.databases.sessions(),
    ]);
  }

  /** A connection lives no longer than its certificate. Returns when the next one ends. */
  #sweep(now: number): number {
    this.#cuts.expired(now);
    for (const socket of this.#bindings.values()) socket.sweep();
    this.#retainContexts();
    const used = [...this.pools.all().map(({ scope }) => scope), ...this.databases.sessions()];
    return Math.min(...used.map(({ credential }) => credential?.notAfter ?? Infinity));
  }
}
