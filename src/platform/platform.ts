import type { ShownDetails } from "../failures/rendered.ts";
import { join } from "node:path";
import { Hono } from "hono";
import type { Logger } from "pino";
import type { ClientBindings } from "../control/api/remote-address.ts";
import type { ProxyOptions } from "../network/trusted-proxies.ts";
import { listenForApi } from "./api-listener.ts";
import type { PairFiles } from "./served-pair.ts";
import { createControl } from "../control/app.ts";
import { latestCompatibilityDate } from "../control/workers/compatibility.ts";
import { createLogin } from "../control/access/login/app.ts";
import { allScopes } from "../control/api/scopes.ts";
import type { ProcessLimits } from "../edge/worker-limits.ts";
import { ProcessIntake } from "../intake/process-intake.ts";
import { startEdge } from "../edge/start-edge.ts";
import type { WorkerPort } from "../edge/worker-ports.ts";
import { Identities } from "../identity/identities.ts";
import { Failure } from "../failures/failures.ts";
import { storageFailure } from "../failures/of-storage.ts";
import { listAccounts } from "../store/access/accounts.ts";
import { bootstrap } from "../store/bootstrap.ts";
import { AddressPolicy } from "../network/addresses.ts";
import { Outbound } from "../network/outbound.ts";
import { storeSource } from "../store/change-feed.ts";
import { openStore, type Store } from "../store/store.ts";
import { AcmeRenewal } from "./acme-renewal.ts";
import { auditApp } from "./access/audit.ts";
import { peopleApp } from "./access/people.ts";
import { tokensApp } from "./access/tokens.ts";
import type { SandboxMode } from "../process/sandbox-kinds.ts";
import { startAdmin } from "./admin.ts";
import { openDataFolder } from "./data-folder.ts";
import { CronTriggers } from "../control/workers/cron/triggers.ts";
import { retainAudit } from "./audit-retention.ts";
import { ExpiryMonitor } from "./expiry.ts";
import { RevocationListRefresh } from "./revocation-lists.ts";
import type { HttpsAddress, WorkerShares } from "../ingress/protocol.ts";
import { keepGlobalPullsFresh } from "./global-pulls.ts";
import { keepLeafFresh, LocalAuthority } from "./local-authority.ts";
import { HostFolders } from "./host-folders.ts";
import { FolderSources } from "./watched-folders.ts";
import { MasterKeys } from "./master-key-change.ts";
import { keepKeysInGateway } from "./no-in-process.ts";
import { LastEvents } from "./last-events.ts";
import { removeDeletedObjects } from "../control/workers/objects.ts";
import { Tails } from "../control/workers/tails.ts";
import { FileJournal } from "../journal/journal.ts";
import type { SegmentLimits } from "../journal/segments.ts";
import { listenForMetrics } from "./metrics-listener.ts";
import { TailSockets } from "./tail-sockets.ts";
import type { MasterKeyVariables } from "../keys/master-key.ts";
import { hasDatabase, refuseLostDatabase } from "./first-start.ts";
import { healthApp } from "./health.ts";
import { openLocalBinding } from "./local-binding.ts";
import { guardOwnPorts } from "./own-ports.ts";
import { platformStatus } from "./status.ts";

export interface PlatformOptions {
  /** Made where there is none. One platform holds it at a time. */
  readonly dataFolder: string;
  /** The address that the ingress listens on, where Workers answer. */
  readonly host: string;
  /** The address of the API, which takes tokens and private keys: loopback, unless it is asked for. */
  readonly apiHost: string;
  /** The API and the sign-in pages over TLS. Null: plain HTTP. */
  readonly apiTls: PairFiles | null;
  /** Plain HTTP on an address that others reach. */
  readonly unsafePlainApi: boolean;
  /** Whose word about clients counts, for the API and for Workers. */
  readonly proxies: ProxyOptions;
  /** Connections that one client address may have at the ingress, trusted proxies excepted. 0: no limit. */
  readonly clientConnections: number;
  /** Where origins listen that DNS records name. */
  readonly originPort: number;
  /** 0 takes a free port. */
  readonly apiPort: number;
  readonly httpPort: number;
  /** TLS where Workers answer. Null: plain HTTP only. */
  readonly https: HttpsAddress | null;
  /** Names beside `localhost` that lead to this machine: its own CA speaks for them. */
  readonly localNames: readonly string[];
  /** `https://countersign.example`, where a proxy ends TLS before the API. Null: it is reached directly. */
  readonly publicUrl: string | null;
  /** Bindings may reach loopback. */
  readonly development: boolean;
  /** CIDRs that bindings may, or may not, reach beside the defaults. */
  readonly originAllow: readonly string[];
  readonly originDeny: readonly string[];
  /** What `fetch()` without a binding may reach: `public`, `private`, `local`, or CIDRs. */
  readonly fetchAllow: readonly string[];
  /** How many processes each Worker runs in, at least one. */
  readonly workerProcesses: number;
  /** How many processes the gateway is, at least one. */
  readonly gatewayProcesses: number;
  /** MiB of heap and seconds of CPU that each process of a Worker may take. 0: no limit. */
  readonly limits: ProcessLimits;
  /** Whether Workers run in a sandbox of the operating system's. */
  readonly sandbox: SandboxMode;
  /** What each Worker may take, and how long it goes on when it is replaced. */
  readonly workerShares: WorkerShares & {
    readonly startTimeout: number;
    readonly drain: number;
    /** ms without a request after which it is stopped until the next one. Null: never. */
    readonly idleAfter: number | null;
  };
  /** How much of each Worker's log is kept. */
  readonly logs: SegmentLimits;
  /** What Prometheus reads, on loopback. Null: none. */
  readonly metricsPort: number | null;
  /** Base URL of the OTLP/HTTP collector that the gateway exports spans to. Null: none. */
  readonly otlpEndpoint: string | null;
  /** Whether bodies of failures say hosts, addresses and issuers, which Workers hand on to anyone. */
  readonly failureDetails: ShownDetails;
  /** Where Workers are reached without the ingress. Without an account: those of the first one. */
  readonly workerPorts: readonly (Omit<WorkerPort, "accountId"> & {
    readonly accountId: string | null;
  })[];
  /** Seconds that a connection to an origin is used, more or less a tenth. */
  readonly connectionLife: number;
  /** Of a Worker's `connect()`: connections at once, and the seconds that each may carry nothing. */
  readonly connect: { readonly most: number; readonly idle: number };
  readonly systemRoots: boolean;
  /** Hosts of origins that may choose an old cipher suite. */
  readonly unsafeOldTls: readonly string[];
  /** Where the master key is. None of them: the data folder's own file. */
  readonly masterKey: MasterKeyVariables;
  /** False: no binding is in-process, every key stays in the gateway. */
  readonly inProcess: boolean;
  /** Days that entries of the audit log are kept. 0: for ever. */
  readonly auditDays: number;
  /** Of the identities that Workers are issued. */
  readonly trustDomain: string;
  readonly log: Logger;
}

export interface Platform extends AsyncDisposable {
  /** `http://127.0.0.1:4400/client/v4` */
  readonly api: string;
  /** `http://127.0.0.1:4480`: where Workers answer. */
  readonly http: string;
  /** `https://127.0.0.1:4443`. Null: there is no TLS. */
  readonly https: string | null;
  /** By `NAME` or `ACCOUNT_ID/NAME` of a Worker: where it is reached without the ingress. */
  readonly workers: Readonly<Record<string, readonly string[]>>;
  /** Where Prometheus reads. Null: nowhere. */
  readonly metrics: string | null;
  readonly accountId: string;
  /** What keeps Workers apart from everything else on this machine, in a line. */
  readonly sandbox: string;
  /** The first API token, at the first start only. Null: there was one before. */
  readonly token: string | null;
  /** Tokens and private keys go over a network in clear. */
  readonly apiIsInClear: boolean;
  /**
   * Ends it after an exception that nothing caught: what is in flight is answered, by a failure
   * where that takes longer than two seconds.
   */
  abandon(): Promise<void>;
}

/**
 * Builds the whole platform on one machine and hands every part down: this is the only place that
 * knows them all. Resolves when the API and every deployed Worker answer.
 * @throws Failure `data_folder_in_use`, `data_folder_unusable`, `master_key_…`, `port_in_use`,
 * `api_in_clear`, `api_certificate_unusable`, `worker_port_refused`, `account_not_found`;
 * whatever was opened by then is closed
 */
export async function startPlatform(options: PlatformOptions): Promise<Platform> {
  try {
    return await openPlatform(options);
  } catch (error) {
    if (error instanceof Failure) throw error;
    throw storageFailure(error, `the data folder "${options.dataFolder}"`) ?? error;
  }
}

async function openPlatform(options: PlatformOptions): Promise<Platform> {
  await using stack = new AsyncDisposableStack();
  const { log } = options;
  const folder = stack.use(openDataFolder(options.dataFolder));
  if (!hasDatabase(folder.path)) refuseLostDatabase(folder.path, options.masterKey);
  const opened = stack.use(await openStore(folder.database));
  const keys = stack.use(
    await MasterKeys.open({
      store: opened,
      dataFolder: folder.path,
      variables: options.masterKey,
      clock,
      log,
    }),
  );
  const intake = stack.use(
    new ProcessIntake({ workingDirectory: folder.path, processes: null, log }),
  );
  const first = await bootstrap(opened, { scopes: allScopes, now: clock() });
  const accountId = first?.accountId ?? (await firstAccount(opened));
  const workerPorts = options.workerPorts.map((port) => ({
    ...port,
    accountId: port.accountId ?? accountId,
  }));
  const store = await guardOwnPorts(opened, workerPorts);
  const lastEvents = stack.use(new LastEvents({ store, log }));

  if (!options.inProcess) await keepKeysInGateway(store, log);
  const api = stack.use(
    await listenForApi({
      host: options.apiHost,
      port: options.apiPort,
      tls: options.apiTls,
      unsafePlain: options.unsafePlainApi,
      proxies: options.proxies,
      log,
    }),
  );
  const metrics =
    options.metricsPort === null ? null : stack.use(await listenForMetrics(options.metricsPort));
  const journal = stack.use(
    new FileJournal({ folder: join(folder.path, "logs"), limits: options.logs, log }),
  );
  const addresses = {
    allow: options.originAllow,
    deny: options.originDeny,
    development: options.development,
    denyLocalPorts: [],
  };
  const { keyring } = keys;
  const identities = new Identities({ store, keyring, clock, trustDomain: options.trustDomain });
  stack.use(await keepGlobalPullsFresh({ store, keyring, clock, log }));
  const local = await LocalAuthority.open({ store, keyring, names: options.localNames, clock });
  const edge = stack.use(
    await startEdge({
      identities,
      source: storeSource(store),
      masterKey: keys.current,
      dataFolder: folder.path,
      runDirectory: folder.run,
      storageFolder: folder.storage,
      httpHost: options.host,
      httpPort: options.httpPort,
      https: options.https && { ...options.https, byDefault: await local.leaf() },
      proxies: options.proxies,
      clientConnections: options.clientConnections,
      originPort: options.originPort,
      workerShares: options.workerShares,
      startTimeout: options.workerShares.startTimeout,
      drain: options.workerShares.drain,
      idleAfter: options.workerShares.idleAfter,
      waitUntil: Math.min(options.workerShares.drain, LONGEST_WAIT_UNTIL),
      networkAllow: options.fetchAllow,
      otherListeners: [
        { host: options.apiHost, port: api.port },
        ...(metrics === null ? [] : [{ host: "127.0.0.1", port: metrics.port }]),
      ],
      onWorkerEvent: (event) => journal.record(event),
      workerPorts,
      workerProcesses: options.workerProcesses,
      sandbox: options.sandbox,
      limits: options.limits,
      gateway: {
        count: options.gatewayProcesses,
        addresses,
        failureDetails: options.failureDetails,
        timeouts: {
          life: options.connectionLife * 1000,
          stream: options.connect.idle * 1000,
          session: options.connect.idle * 1000,
        },
        streams: options.connect.most,
        useSystemRoots: options.systemRoots,
        unsafeOldTls: options.unsafeOldTls,
        otlpEndpoint: options.otlpEndpoint,
        onEvent: (event) => lastEvents.record(event),
      },
      log,
    }),
  );
  stack.use(keepLeafFresh(local, (leaf) => edge.presentByDefault(leaf)));
  keys.inform((masterKey) => edge.adoptMasterKey(masterKey));
  const compatibility = { latestCompatibilityDate: latestCompatibilityDate() };
  const publicUrl = options.publicUrl ?? api.url;
  const policy = new AddressPolicy({ ...addresses, denyLocalPorts: edge.ownPorts });
  const outbound = stack.use(new Outbound({ policy }));
  const apiUrl = `${publicUrl}/client/v4`;
  const url = (): string => apiUrl.replace(/^http/, "ws");
  const tails = stack.use(new Tails({ edge, journal, clock, url, log }));
  const sockets = stack.use(new TailSockets(tails));
  api.upgrades((request, socket, head) => sockets.upgrade(request, socket, head));
  metrics?.serve(() => edge.metrics());
  const context = { store, keyring, edge, outbound, clock, logs: { journal, tails } };
  const control = createControl({
    ...context,
    intake,
    identities,
    log,
    ...compatibility,
    limits: { inProcess: options.inProcess },
  });
  const login = createLogin({ ...context, issuer: publicUrl, log });
  const health = healthApp(store, edge);
  api.serve(
    new Hono<{ Bindings: ClientBindings }>()
      .route("/", health)
      .all("/oauth2/*", (c) => login.fetch(c.req.raw, c.env))
      .all("*", (c) => control.fetch(c.req.raw, c.env)),
  );
  // What was deleted while no edge ran.
  void removeDeletedObjects({ store, edge, log });
  const folders = stack.use(await FolderSources.start({ context, intake, log }));
  const hostFolders = stack.use(HostFolders.start({ context, intake, log }));
  stack.use(await retainAudit({ store, keyring, clock, days: options.auditDays, log }));
  stack.use(ExpiryMonitor.start({ store, keyring, outbound, clock, log }));
  stack.use(CronTriggers.start({ store, edge, clock, log }));
  stack.use(RevocationListRefresh.start({ ...context, log }));
  stack.use(AcmeRenewal.start({ ...context, intake, log }));
  const urls = { api: apiUrl, http: edge.httpUrl, https: edge.httpsUrl };
  stack.use(
    await startAdmin(folder.path, {
      api: (request, bindings) => control.fetch(request, bindings as ClientBindings),
      localAuthority: local.certificate,
      info: () => ({ ...urls, accountId, pid: process.pid }),
      status: () => platformStatus(store, edge, options.unsafeOldTls, hostFolders.failures),
      access: [peopleApp(context), tokensApp(context), auditApp(context)],
      openBinding: (wanted) => openLocalBinding(wanted, { store, edge, accountId }),
      keys,
      folders,
      hostFolders,
    }),
  );
  const owned = stack.move();
  return {
    ...urls,
    metrics: metrics === null ? null : `http://127.0.0.1:${metrics.port}/metrics`,
    workers: edge.workerPorts(accountId),
    accountId,
    sandbox: edge.status().sandbox.summary,
    token: first?.token ?? null,
    apiIsInClear: api.isInClear,
    abandon: async () => {
      const timer = setTimeout(() => api.abandon(), ABANDON_GRACE);
      await owned.disposeAsync();
      clearTimeout(timer);
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** ms; as on Cloudflare. */
const LONGEST_WAIT_UNTIL = 30_000;
/** ms */
const ABANDON_GRACE = 2_000;

function clock(): Date {
  return new Date();
}

async function firstAccount(store: Store): Promise<string> {
  const [account] = await listAccounts(store.db);
  if (!account) throw new Failure("internal", { message: "the store has no account" });
  return account.id;
}
