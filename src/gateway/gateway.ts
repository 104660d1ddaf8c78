import { isDeepStrictEqual } from "node:util";
import type { Keyring } from "../keys/seal.ts";
import type { AccountTrust, CertificateVersion, ScriptKey } from "../contract/change-feed.ts";
import { keyIn } from "../contract/key-in.ts";
import { Failure } from "../failures/failures.ts";
import { Acceptance } from "./accepted.ts";
import { AddressPolicy } from "../network/addresses.ts";
import { matchesHost } from "../network/patterns.ts";
import { BindingSocket } from "./binding.ts";
import { frontName } from "./front.ts";
import { iso, type Credential } from "../certificates/credential.ts";
import { systemClock, type Clock } from "./clock.ts";
import { HeldCertificates } from "./origin/held-certificates.ts";
import { Shares } from "./shares.ts";
import { Sweeper } from "./origin/sweeper.ts";
import { parseOrigin, parseTarget } from "./origin/destination.ts";
import type { Network } from "./origin/dial.ts";
import { NO_CERTIFICATE, type GatewayBinding, type IdentityRequest } from "../contract/gateway.ts";
import { requestIdentity } from "./identity-request.ts";
import type { GatewayState } from "./messages.ts";
import { testHandshake } from "./handshake-test.ts";
import type { HandshakeReport } from "../contract/handshake-report.ts";
import type { AddressOptions, GatewayOptions } from "../contract/gateway-options.ts";
import { Lookups, MOST_LOOKUPS } from "./origin/lookups.ts";
import { originOpener } from "./open.ts";
import type { OriginPool } from "./origin/pool.ts";
import { packError, type SentError } from "../process/messages.ts";
import type { PassedHandle } from "../process/passed-handle.ts";
import { Pools } from "./origin/pools.ts";
import type { Observer } from "./observe/observe.ts";
import { sharedFor, systemResolve, type Resolve } from "./origin/resolve.ts";
import type { Route } from "./route.ts";
import type { RouteTracing, Tracing } from "./observe/tracing.ts";
import { Databases } from "./database/databases.ts";
import { DatabaseSocket } from "./database/socket.ts";
import type { DatabaseConfig } from "../contract/database.ts";
import type { Listening } from "./unix-socket.ts";
import { checkTrust, noTrust, SecureContexts, trustFor, type TrustBundle } from "./origin/trust.ts";

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

/** For whom a name is looked up. */
type Owner = Pick<GatewayBinding, "accountId" | "scriptName" | "bindingName">;

/**
 * All that runs in the gateway process: certificates, trust and bindings, and the connections
 * that come of them. Every change is in force for the next request when its method returns.
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
  readonly #lookups: Lookups;
  readonly #resolve: Map<string, Resolve> = new Map();
  readonly #streams: Shares;
  readonly pools: Pools;
  readonly databases: Databases;
  readonly #ownPorts: number[] = [];
  #addresses: AddressOptions;
  #policy: AddressPolicy;

  constructor(dependencies: GatewayDependencies) {
    this.#dependencies = dependencies;
    const { keyring, options, observer, clock = systemClock } = dependencies;
    this.#clock = clock;
    this.#streams = new Shares(options.streams);
    this.#acceptance = new Acceptance((scope) => this.#network(scope), options.explanations);
    this.#lookups = new Lookups(systemResolve, {
      binding: options.bindingLookups,
      account: options.accountLookups,
      all: MOST_LOOKUPS,
    });
    this.#certificates = new HeldCertificates(keyring, clock);
    this.#contexts = new SecureContexts(keyring, options.unsafeOldTls);
    this.#addresses = options.addresses;
    this.#policy = new AddressPolicy(options.addresses);
    this.pools = new Pools(
      originOpener({
        network: (scope) => this.#network(scope),
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
      network: (owner) => this.#network(owner),
    });
    this.#sweeper = new Sweeper(clock, (now) => this.#sweep(now));
  }

  /** What another process of this gateway knew: judged then, and so not judged again. */
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
  setCertificate(certificate: CertificateVersion): void {
    const { accountId, certificateId, revokedOn, revokedVersions = [] } = certificate;
    this.#certificates.set(certificate);
    if (revokedOn !== null) {
      this.#cut(accountId, certificateId, "was revoked");
      return;
    }
    if (revokedVersions.length > 0) this.#cutVersions(certificate, revokedVersions);
    this.#refresh(
      (binding) => binding.accountId === accountId && binding.certificateId === certificateId,
    );
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
    const denyLocalPorts = [...addresses.denyLocalPorts, ...this.#ownPorts];
    this.#policy = new AddressPolicy({ ...addresses, denyLocalPorts });
    this.#addresses = addresses;
  }

  /** A port of this process, which no binding reaches. */
  reservePort(port: number): void {
    this.#ownPorts.push(port);
    this.setAddresses(this.#addresses);
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
      stream: () => this.#streams.take(keyIn(binding.accountId, binding.scriptName)),
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
   * @param signal aborts when nobody waits for the report any more: the connection is closed
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
      trust: this.#trustFor(credential, target.destination.host),
      target,
      network: { ...this.#network({ accountId, scriptName: "", bindingName: "" }), signal },
      contexts: this.#contexts,
    });
  }

  /**
   * The same with the database of a Hyperdrive configuration, and a sign-in.
   * @param scriptName whose identity is presented, where the configuration says so
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

  #checkHost({ accountId, certificateId, allowedHosts }: Credential, host: string): void {
    if (matchesHost(this.trust(accountId).proxied, host)) {
      throw new Failure("origin_zone_proxied", {
        message: `"${host}" is in a proxied zone, and client certificates are not presented there`,
        facts: { host, certificateId },
      });
    }
    if (allowedHosts !== null && !matchesHost(allowedHosts, host)) {
      throw new Failure("origin_host_not_allowed", {
        message: `certificate ${certificateId} may be presented to ${allowedHosts.join(", ") || "no host"}, and not to "${host}"`,
        facts: { host, certificateId, allowedHosts },
      });
    }
  }

  #trustFor(credential: Credential, host: string): TrustBundle {
    return trustFor(credential, this.trust(credential.accountId), host);
  }

  #network({ accountId, scriptName, bindingName }: Owner): Network {
    const { timeouts } = this.#dependencies.options;
    return {
      policy: this.#policy,
      timeouts,
      resolve: this.#resolveFor(accountId, `${scriptName} ${bindingName}`),
    };
  }

  #resolveFor(accountId: string, binding: string): Resolve {
    const key = `${accountId} ${binding}`;
    let resolve = this.#resolve.get(key);
    if (resolve === undefined) {
      resolve = sharedFor(1_000, this.#lookups.of(accountId, binding));
      this.#resolve.set(key, resolve);
    }
    return resolve;
  }

  #refresh(concerned: (binding: GatewayBinding) => boolean): void {
    for (const socket of this.#bindings.values()) {
      if (concerned(socket.binding)) socket.refresh();
    }
  }

  /** What still drains with a version that was revoked does not end by itself. */
  #cutVersions(certificate: CertificateVersion, versions: readonly number[]): void {
    const { accountId, certificateId } = certificate;
    this.pools.cut(
      (credential) =>
        credential.accountId === accountId &&
        credential.certificateId === certificateId &&
        versions.includes(credential.version),
      (pool, { version }) => connectionCut(pool, `had its version ${version} revoked`),
    );
    this.databases.cut(
      (credential) =>
        credential.accountId === accountId &&
        credential.certificateId === certificateId &&
        versions.includes(credential.version),
      ({ version }) => `had its version ${version} revoked`,
    );
  }

  #cut(accountId: string, certificateId: string, what: string): void {
    this.pools.cut(
      (credential) =>
        credential.accountId === accountId && credential.certificateId === certificateId,
      (pool) => connectionCut(pool, what),
    );
    this.databases.cut(
      (credential) =>
        credential.accountId === accountId && credential.certificateId === certificateId,
      () => what,
    );
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
    this.pools.cut(
      ({ notAfter }) => notAfter <= now,
      (pool, credential) => connectionCut(pool, `expired at ${iso(credential.notAfter)}`),
    );
    this.databases.cut(
      ({ notAfter }) => notAfter <= now,
      ({ notAfter }) => `expired at ${iso(notAfter)}`,
    );
    for (const socket of this.#bindings.values()) socket.sweep();
    this.#retainContexts();
    const used = [...this.pools.all().map(({ scope }) => scope), ...this.databases.sessions()];
    return Math.min(...used.map(({ credential }) => credential?.notAfter ?? Infinity));
  }
}

function connectionCut(pool: OriginPool, what: string): Failure {
  const { certificateId, version } = pool.scope.credential ?? {};
  return new Failure("origin_connection_cut", {
    message: `the connection to ${pool.scope.origin} was cut: certificate ${certificateId} ${what}`,
    facts: { certificateId, version, origin: pool.scope.origin },
  });
}
