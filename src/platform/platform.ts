import { getRequestListener, type HttpBindings } from "@hono/node-server";
import { Hono } from "hono";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import type { Logger } from "pino";
import { createControl } from "../control/app.ts";
import { latestCompatibilityDate } from "../control/workers/compatibility.ts";
import { createLogin } from "../control/access/login/app.ts";
import { allScopes } from "../control/api/scopes.ts";
import { startEdge } from "../edge/start-edge.ts";
import { Identities } from "../identity/identities.ts";
import { Failure } from "../failures/failures.ts";
import { listAccounts } from "../store/accounts.ts";
import { bootstrap } from "../store/bootstrap.ts";
import { storeSource } from "../store/change-feed.ts";
import { openStore, type Store } from "../store/store.ts";
import { auditApp } from "./access/audit.ts";
import { peopleApp } from "./access/people.ts";
import { tokensApp } from "./access/tokens.ts";
import type { SandboxMode } from "../process/sandbox-kinds.ts";
import { startAdmin } from "./admin.ts";
import { openDataFolder } from "./data-folder.ts";
import { ExpiryMonitor } from "./expiry.ts";
import { FolderSources } from "./watched-folders.ts";
import { MasterKeys } from "./master-key-change.ts";
import { LastEvents } from "./last-events.ts";
import type { MasterKeyVariables } from "../keys/master-key.ts";
import { openLocalBinding } from "./local-binding.ts";
import { platformStatus } from "./status.ts";

export interface PlatformOptions {
  /** Made where there is none. One platform holds it at a time. */
  readonly dataFolder: string;
  /** The address that the API and the ingress listen on. */
  readonly host: string;
  /** 0 takes a free port. */
  readonly apiPort: number;
  readonly httpPort: number;
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
  /** Whether Workers run in a sandbox of the operating system's. */
  readonly sandbox: SandboxMode;
  /** The gateway's metrics on loopback. Null: none. */
  readonly metricsPort: number | null;
  /** Base URL of the OTLP/HTTP collector that the gateway exports spans to. Null: none. */
  readonly otlpEndpoint: string | null;
  readonly systemRoots: boolean;
  /** Where the master key is. None of them: the data folder's own file. */
  readonly masterKey: MasterKeyVariables;
  /** Of the identities that Workers are issued. */
  readonly trustDomain: string;
  readonly log: Logger;
}

export interface Platform extends AsyncDisposable {
  /** `http://127.0.0.1:4400/client/v4` */
  readonly api: string;
  /** `http://127.0.0.1:4480`: where Workers answer. */
  readonly http: string;
  readonly accountId: string;
  /** What keeps Workers apart from everything else on this machine, in a line. */
  readonly sandbox: string;
  /** The first API token, at the first start only. Null: there was one before. */
  readonly token: string | null;
}

/**
 * Builds the whole platform on one machine and hands every part down: this is the only place that
 * knows them all. Resolves when the API and every deployed Worker answer.
 * @throws Failure `data_folder_in_use`, `data_folder_unusable`, `master_key_…`, `port_in_use`;
 * whatever was opened by then is closed
 */
export async function startPlatform(options: PlatformOptions): Promise<Platform> {
  await using stack = new AsyncDisposableStack();
  const { log } = options;
  const folder = stack.use(openDataFolder(options.dataFolder));
  const store = stack.use(await openStore(folder.database));
  const keys = stack.use(
    await MasterKeys.open({
      store,
      dataFolder: folder.path,
      variables: options.masterKey,
      clock,
      log,
    }),
  );
  const lastEvents = stack.use(new LastEvents({ store, log }));
  const first = await bootstrap(store, { scopes: allScopes, now: clock() });
  const accountId = first?.accountId ?? (await firstAccount(store));

  const api = stack.use(await listen(options.host, options.apiPort));
  const { keyring } = keys;
  const identities = new Identities({ store, keyring, clock, trustDomain: options.trustDomain });
  const edge = stack.use(
    await startEdge({
      identities,
      source: storeSource(store),
      masterKey: keys.current,
      runDirectory: folder.run,
      httpHost: options.host,
      httpPort: options.httpPort,
      networkAllow: options.fetchAllow,
      workerProcesses: options.workerProcesses,
      sandbox: options.sandbox,
      gateway: {
        addresses: {
          allow: options.originAllow,
          deny: options.originDeny,
          development: options.development,
          denyLocalPorts: [api.port],
        },
        useSystemRoots: options.systemRoots,
        metricsPort: options.metricsPort,
        otlpEndpoint: options.otlpEndpoint,
        onEvent: (event) => lastEvents.record(event),
      },
      log,
    }),
  );
  keys.inform((masterKey) => edge.adoptMasterKey(masterKey));
  const compatibility = { latestCompatibilityDate: latestCompatibilityDate() };
  const publicUrl = options.publicUrl ?? api.url;
  const context = { store, keyring, edge, clock };
  const control = createControl({ ...context, identities, log, ...compatibility });
  const login = createLogin({ ...context, issuer: publicUrl, log });
  api.serve(
    new Hono<{ Bindings: HttpBindings }>()
      .all("/oauth2/*", (c) => login.fetch(c.req.raw, c.env))
      .all("*", (c) => control.fetch(c.req.raw, c.env)),
  );
  const folders = stack.use(await FolderSources.start({ context, log }));
  stack.use(ExpiryMonitor.start({ store, keyring, clock, log }));
  const urls = { api: `${publicUrl}/client/v4`, http: edge.httpUrl };
  stack.use(
    await startAdmin(folder.path, {
      info: () => ({ ...urls, accountId, pid: process.pid }),
      status: () => platformStatus(store, edge),
      access: [peopleApp(context), tokensApp(context), auditApp(context)],
      openBinding: (wanted) => openLocalBinding(wanted, { store, edge, accountId }),
      keys,
      folders,
    }),
  );
  const opened = stack.move();
  return {
    ...urls,
    accountId,
    sandbox: edge.status().sandbox.summary,
    token: first?.token ?? null,
    [Symbol.asyncDispose]: () => opened.disposeAsync(),
  };
}

function clock(): Date {
  return new Date();
}

async function firstAccount(store: Store): Promise<string> {
  const [account] = await listAccounts(store.db);
  if (!account) throw new Failure("internal", { message: "the store has no account" });
  return account.id;
}

type App = Hono<{ Bindings: HttpBindings }>;

interface Listener extends AsyncDisposable {
  readonly port: number;
  readonly url: string;
  /** From now on `app` answers; what came before has waited. */
  serve(app: App): void;
}

/** The port is taken before the edge starts, which has to know it, to keep Workers away from it. */
async function listen(host: string, port: number): Promise<Listener> {
  const app = Promise.withResolvers<App>();
  const listener = getRequestListener(async (request, env) =>
    (await app.promise).fetch(request, env),
  );
  const server = createServer((request, response) => void listener(request, response));
  await new Promise<void>((resolve, reject) => {
    server.once("error", (cause: NodeJS.ErrnoException) => reject(cannotListen(host, port, cause)));
    server.listen(port, host, resolve);
  });
  const taken = (server.address() as AddressInfo).port;
  return {
    port: taken,
    url: `http://${host.includes(":") ? `[${host}]` : host}:${taken}`,
    serve: app.resolve,
    [Symbol.asyncDispose]: () => close(server),
  };
}

function cannotListen(host: string, port: number, cause: NodeJS.ErrnoException): Failure {
  return new Failure("port_in_use", {
    message: `the API cannot listen on ${host} port ${port}: ${cause.code}`,
    cause,
    facts: { host, port },
  });
}

/** Answers what is in flight, for ten seconds at most. */
function close(server: Server): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => server.closeAllConnections(), 10_000);
    server.close(() => {
      clearTimeout(timer);
      resolve();
    });
    server.closeIdleConnections();
  });
}
