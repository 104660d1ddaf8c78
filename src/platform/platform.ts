import { join } from "node:path";
import { Hono } from "hono";
import type { ClientBindings } from "../control/api/remote-address.ts";
import { listenForApi } from "./api-listener.ts";
import { createControl } from "../control/app.ts";
import { loginWhenAsked } from "../control/access/login/when-asked.ts";
import { latestCompatibilityDate } from "../control/workers/compatibility.ts";
import { allScopes } from "../control/api/scopes.ts";
import { ProcessIntake } from "../intake/process-intake.ts";
import { startEdge } from "../edge/start-edge.ts";
import { Identities } from "../identity/identities.ts";
import { Failure } from "../failures/failures.ts";
import { storageFailure } from "../failures/of-storage.ts";
import { listAccounts } from "../store/access/accounts.ts";
import { bootstrap } from "../store/bootstrap.ts";
import { deleteChallenges } from "../store/hosts/acme.ts";
import { AddressPolicy } from "../network/addresses.ts";
import { Outbound } from "../network/outbound.ts";
import { storeSource } from "../store/change-feed.ts";
import { type Store, openStore } from "../store/store.ts";
import { findProcessUsers } from "../process/walls/process-users.ts";
import { keepAccessKeysFresh } from "./access-keys.ts";
import { AcmeRenewal } from "./acme-renewal.ts";
import { auditApp } from "./access/audit.ts";
import { peopleApp } from "./access/people.ts";
import { tokensApp } from "./access/tokens.ts";
import { startAdmin } from "./admin.ts";
import { openDataFolder, refuseHalfRestored } from "./data-folder.ts";
import { CronTriggers } from "../control/workers/cron/triggers.ts";
import { retainAudit } from "./audit-retention.ts";
import { ExpiryMonitor } from "./expiry.ts";
import { RevocationListRefresh } from "./revocation-lists.ts";
import { keepGlobalPullsFresh } from "./global-pulls.ts";
import { openApiTls, writeLocalAuthority } from "./api-tls.ts";
import { LocalAuthority, keepLeafFresh } from "./local-authority.ts";
import { HostFolders } from "./host-folders.ts";
import { FolderSources } from "./watched-folders.ts";
import { MasterKeys } from "./master-key-change.ts";
import { keepKeysInGateway } from "./no-in-process.ts";
import { LastEvents } from "./last-events.ts";
import { removeDeletedObjects } from "../control/workers/objects.ts";
import { Tails } from "../control/workers/tails.ts";
import { FileJournal } from "../journal/journal.ts";
import { listenForMetrics } from "./metrics-listener.ts";
import { TailSockets } from "./tail-sockets.ts";
import { hasDatabase, refuseLostDatabase } from "./first-start.ts";
import { healthApp } from "./health.ts";
import { openLocalBinding } from "./local-binding.ts";
import { guardOwnPorts } from "./own-ports.ts";
import { platformStatus } from "./status.ts";
import { judgeStored } from "../control/certificates/standing-warnings.ts";
import type { Platform, PlatformOptions } from "./platform-options.ts";

/**
 * Builds the whole platform on one machine and hands every part down; only this module knows all parts. Resolves when
 * the API and every deployed Worker answer.
 * @throws Failure `data_folder_in_use`, `data_folder_unusable`, `restore_unfinished`, `master_key_…`, `port_in_use`, `api_in_clear`,
 * `api_certificate_unusable`, `worker_port_refused`, `account_not_found`; everything opened so far is closed
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
  refuseHalfRestored(folder.path);
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
  const users = await findProcessUsers(options.sandbox, folder.path);
  const intake = stack.use(
    new ProcessIntake({ workingDirectory: "/", user: users.intake, processes: null, log }),
  );
  await opened.housekeep(({ db }) => deleteChallenges(db));
  const first = await bootstrap(opened, { scopes: allScopes, now: clock() });
  const accountId = first?.accountId ?? (await firstAccount(opened));
  const workerPorts = options.workerPorts.map((port) => ({
    ...port,
    accountId: port.accountId ?? accountId,
  }));
  const store = await guardOwnPorts(opened, workerPorts);
  const lastEvents = stack.use(new LastEvents({ store, log }));

  if (!options.inProcess) await keepKeysInGateway(store, log);
  const { keyring } = keys;
  const local = await LocalAuthority.open({ store, keyring, names: options.localNames, clock });
  const apiTls = stack.use(await openApiTls(options, local));
  const api = stack.use(
    await listenForApi({
      host: options.apiHost,
      port: options.apiPort,
      tls: apiTls,
      publicUrl: options.publicUrl,
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
  const identities = new Identities({ store, keyring, clock, trustDomain: options.trustDomain });
  stack.use(await keepGlobalPullsFresh({ store, keyring, clock, log }));
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
      https: options.https && {
        ...options.https,
        byDefault: await local.leaf(),
        localLeaf: (name) => local.leafFor(name),
      },
      proxies: options.proxies,
      clientConnections: options.clientConnections,
      clientStalled: options.clientStalled,
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
      ingressProcesses: options.ingressProcesses,
      sandbox: options.sandbox,
      users,
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
  const login = loginWhenAsked({ ...context, issuer: publicUrl, log });
  const health = healthApp(store, edge);
  api.serve(
    new Hono<{ Bindings: ClientBindings }>()
      .route("/", health)
      .all("/oauth2/*", async (c) => (await login()).fetch(c.req.raw, c.env))
      .all("*", (c) => control.fetch(c.req.raw, c.env)),
  );
  // Objects that were deleted while no edge ran.
  void removeDeletedObjects({ store, edge, log });
  const folders = stack.use(await FolderSources.start({ context, intake, log }));
  const hostFolders = stack.use(HostFolders.start({ context, intake, log }));
  stack.use(judgeStored(store, log));
  stack.use(await retainAudit({ store, keyring, clock, days: options.auditDays, log }));
  stack.use(ExpiryMonitor.start({ store, keyring, outbound, clock, log }));
  stack.use(keepAccessKeysFresh({ store, keyring, clock, log }));
  stack.use(CronTriggers.start({ store, edge, clock, log }));
  stack.use(RevocationListRefresh.start({ ...context, log }));
  stack.use(AcmeRenewal.start({ ...context, intake, log }));
  const urls = { api: apiUrl, http: edge.httpUrl, https: edge.httpsUrl };
  const authorityFile =
    options.apiTls === "local" ? await writeLocalAuthority(folder.path, local) : null;
  stack.use(
    await startAdmin(folder.path, {
      api: (request, bindings) => control.fetch(request, bindings as ClientBindings),
      localAuthority: local.certificate,
      info: () => ({ ...urls, authorityFile, accountId, pid: process.pid }),
      status: () =>
        platformStatus({
          store,
          edge,
          unsafeOldTls: options.unsafeOldTls,
          folderFailures: hostFolders.failures,
        }),
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
    users: users.summary,
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

/** ms, as on Cloudflare. */
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
