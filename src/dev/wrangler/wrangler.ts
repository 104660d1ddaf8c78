import { resolve } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import type * as Wrangler from "wrangler";
import { Failure } from "../../failures/failures.ts";
import { databasePlace, type DatabasePlace } from "../connection-string.ts";
import { registryPath } from "./registry.ts";
import { externalService, pluginDatabase } from "../socket-binding.ts";
import {
  checkVersion,
  isNewer,
  keepOffline,
  miniflareOf,
  requireFrom,
  testedVersions,
  workerdOf,
} from "./wrangler-package.ts";
import { complaining, complainingLater, complaint } from "./wrangler-error.ts";

// Everything that touches wrangler's unstable API. It was tried with each of the versions in `testedVersions`; versions
// between them have the same shape.

/** A project's own wrangler, loaded. */
export interface LoadedWrangler {
  readonly version: string;
  /** A sentence for the terminal if this version is newer than any that was tried. */
  readonly notice: string | null;
  /** The path of the workerd that its Miniflare starts. */
  readonly workerd: string;
  /** Whether its Miniflare (5) accepts a `hyperdrive` binding that leads to a socket. */
  readonly servesDatabases: boolean;
  /** @throws WranglerError with wrangler's own message, if the configuration has an error */
  readProject(options: ProjectOptions): WranglerProject;
  /** @throws WranglerError with wrangler's own message; Failure `dev_wrangler_unsupported` */
  startServer(options: ServerOptions): Promise<DevServer>;
  createTestHarness(options: Wrangler.TestHarnessOptions): Wrangler.TestHarness;
  /** Runs `start`, which makes wrangler start Workers, with each mTLS binding leading to its socket. */
  withBindings<T>(socketOf: SocketOf, start: () => Promise<T>): Promise<T>;
}

/**
 * Returns the absolute path of a binding's Unix socket, and makes sure that something listens there. Called again for
 * each binding whenever wrangler has read its configuration again.
 */
export type SocketOf = (binding: MtlsBinding) => string;

interface Sockets {
  readonly socketOf: SocketOf;
  /** See `LoadedWrangler`. */
  readonly servesDatabases: boolean;
}

export interface ProjectOptions {
  /** Default: the folder's own wrangler.jsonc, .json or .toml. */
  readonly configPath?: string | undefined;
  readonly environment?: string | undefined;
  readonly script?: string | undefined;
}

export interface WranglerProject {
  /** The Worker's name; null: none given. */
  readonly name: string | null;
  /** The configuration's `account_id`. Null: none given. */
  readonly accountId: string | null;
  /** Absolute. Null: the project has no configuration file. */
  readonly configPath: string | null;
  readonly bindings: readonly MtlsBinding[];
  /** Its `hyperdrive` bindings. */
  readonly databases: readonly RawDatabase[];
  /** Parts of the configuration that wrangler sends only once the upload is live. */
  readonly later: LaterConfiguration;
}

export interface LaterConfiguration {
  readonly crons: readonly string[];
  readonly assets: boolean;
  readonly migrations: readonly object[];
  readonly containers: number;
  /** The names of all fields that its Workflows have. */
  readonly workflowFields: readonly string[];
}

export interface MtlsBinding {
  readonly name: string;
  readonly certificateId: string;
  /** The Worker whose identity the binding presents, if it is not the project's own Worker. */
  readonly worker?: string;
  /** The environment that this identity names. Default: the project's environment, if countersign.json says so. */
  readonly environment?: string;
  /** Makes it a `hyperdrive` binding, which leads to this database. */
  readonly database?: DatabasePlace;
}

export interface ServerOptions {
  /** wrangler's own input, as `wrangler dev` would make it from its flags. */
  readonly input: StartInput;
  readonly socketOf: SocketOf;
  /** The mTLS bindings that the project has now. */
  readonly bindings: readonly MtlsBinding[];
}

export type StartInput = Parameters<typeof Wrangler.unstable_startWorker>[0];

export interface DevServer {
  readonly url: URL;
  readonly inspectorUrl: URL | undefined;
  readonly workerName: string;
  /** Resolves once the server was stopped, by anyone. @throws WranglerError if it failed */
  readonly closed: Promise<void>;
  close(): Promise<void>;
}

/**
 * Loads the wrangler that is installed in `folder`'s project, else the one beside Countersign.
 * @throws Failure `dev_wrangler_missing`, `dev_wrangler_unsupported`
 */
export async function loadWrangler(folder: string): Promise<LoadedWrangler> {
  const require = requireFrom(folder);
  const { version } = require("wrangler/package.json") as { version: string };
  checkVersion(version);
  await keepOffline(require, folder);
  const wrangler = require("wrangler") as typeof Wrangler;
  const servesDatabases = miniflareOf(require) >= 5;
  const kept = (socketOf: SocketOf): Sockets => ({ socketOf, servesDatabases });
  return {
    version,
    workerd: workerdOf(require),
    servesDatabases,
    notice: isNewer(version, testedVersions.newest)
      ? `wrangler ${version} is newer than ${testedVersions.newest}, the newest that was tried with this version of Countersign`
      : null,
    readProject: (options) => readProject(wrangler, folder, options),
    startServer: (options) =>
      startServer(wrangler, require, { ...options, version, servesDatabases }),
    createTestHarness: (options) => createTestHarness(wrangler, version, options),
    withBindings: (socketOf, start) => withBindings(wrangler, version, kept(socketOf), start),
  };
}

function readProject(
  wrangler: typeof Wrangler,
  folder: string,
  options: ProjectOptions,
): WranglerProject {
  const config = complaining(() =>
    wrangler.unstable_readConfig(
      {
        ...(options.configPath === undefined ? {} : { config: options.configPath }),
        ...(options.environment === undefined ? {} : { env: options.environment }),
        ...(options.script === undefined ? {} : { script: options.script }),
      },
      { hideWarnings: true },
    ),
  );
  const file = config.userConfigPath ?? config.configPath;
  return {
    name: config.name ?? null,
    accountId: config.account_id ?? null,
    configPath: file === undefined ? null : resolve(folder, file),
    bindings: (config.mtls_certificates as readonly RawBinding[]).map((raw) => ({
      name: raw.binding,
      certificateId: raw.certificate_id,
    })),
    databases: (config.hyperdrive as readonly RawHyperdrive[]).map((raw) => ({
      name: raw.binding,
      localConnectionString: raw.localConnectionString,
    })),
    later: {
      crons: config.triggers.crons ?? [],
      assets: config.assets !== undefined,
      migrations: config.migrations,
      containers: config.containers?.length ?? 0,
      workflowFields: fieldsOf(config.workflows as readonly object[]),
    },
  };
}

function fieldsOf(all: readonly object[]): readonly string[] {
  return [...new Set(all.flatMap((one) => Object.keys(one)))];
}

export interface RawDatabase {
  readonly name: string;
  readonly localConnectionString: string | undefined;
}

export interface RawHyperdrive {
  readonly binding: string;
  readonly localConnectionString?: string;
}

export interface RawBinding {
  readonly binding: string;
  readonly certificate_id: string;
}

async function startServer(
  wrangler: typeof Wrangler,
  require: NodeJS.Require,
  options: ServerOptions & Sockets & { readonly version: string },
): Promise<DevServer> {
  const input: StartInput = {
    ...options.input,
    bindings: { ...addresses(options), ...options.input.bindings },
    dev: { registry: registryPath(require), ...options.input.dev },
  };
  const devEnv = await complainingLater(() =>
    withBindings(wrangler, options.version, options, async () => {
      const starting = new wrangler.unstable_DevEnv();
      const failed = new Promise<never>((_resolve, reject) => {
        starting.once("error", reject);
        process.once("beforeExit", () => reject(new Error("it gave up while it started")));
      });
      try {
        const worker = await Promise.race([starting.startWorker(input), failed]);
        await Promise.race([worker.ready, failed]);
      } catch (error) {
        // After a failed start the teardown may never finish.
        await Promise.race([starting.teardown(), wait(TEARDOWN_MS)]);
        throw error;
      }
      return starting;
    }),
  );
  const { promise: closed, ...settle } = Promise.withResolvers<void>();
  devEnv.once("teardown", settle.resolve);
  devEnv.once("error", (error) => settle.reject(complaint(error)));
  closed.catch(() => {});
  const { url, inspectorUrl } = await devEnv.proxy.ready.promise;
  return {
    url,
    inspectorUrl,
    workerName: devEnv.config.latestConfig?.name ?? "worker",
    closed,
    close: () => devEnv.teardown(),
  };
}

function createTestHarness(
  wrangler: Partial<typeof Wrangler>,
  version: string,
  options: Wrangler.TestHarnessOptions,
): Wrangler.TestHarness {
  if (wrangler.createTestHarness === undefined) {
    throw new Failure("dev_wrangler_unsupported", {
      message: `wrangler ${version} has no createTestHarness`,
      facts: { version },
    });
  }
  return wrangler.createTestHarness(options);
}

type DevEnvClass = typeof Wrangler.unstable_DevEnv;
type WorkerConfig = Parameters<InstanceType<DevEnvClass>["config"]["emitConfigUpdateEvent"]>[0];

/**
 * wrangler resolves a Worker's configuration and passes it to its bundler and runtime, again after each change of the
 * file. In between, this replaces the mTLS bindings by addresses. The option `bindings` is not enough: it knows only
 * the bindings of the start, and in a year-old version the configuration file overrides it.
 */
async function withBindings<T>(
  wrangler: typeof Wrangler,
  version: string,
  sockets: Sockets,
  start: () => Promise<T>,
): Promise<T> {
  const exports = wrangler as { unstable_DevEnv: DevEnvClass };
  const original = exports.unstable_DevEnv;
  let replaced = false;
  exports.unstable_DevEnv = class extends original {
    constructor(...options: ConstructorParameters<DevEnvClass>) {
      super(...options);
      const emit = this.config.emitConfigUpdateEvent?.bind(this.config);
      if (emit === undefined) {
        return;
      }
      this.config.emitConfigUpdateEvent = (config) => {
        replaced = true;
        emit(replaceBindings(config, sockets));
      };
    }
  };
  try {
    const result = await start();
    if (!replaced) {
      throw new Failure("dev_wrangler_unsupported", {
        message: `wrangler ${version} starts Workers in a way that Countersign does not know`,
        facts: { version, ...testedVersions },
      });
    }
    return result;
  } finally {
    exports.unstable_DevEnv = original;
  }
}

/** Given as an option too, the bindings are not listed by wrangler as unsupported. */
function addresses({ bindings, socketOf }: ServerOptions): NonNullable<StartInput["bindings"]> {
  return Object.fromEntries(bindings.map((binding) => [binding.name, address(socketOf(binding))]));
}

function replaceBindings(
  config: WorkerConfig,
  { socketOf, servesDatabases }: Sockets,
): WorkerConfig {
  const bindings = { ...config.bindings };
  for (const [name, binding] of Object.entries<Wrangler.Binding>(bindings)) {
    if (binding.type === "mtls_certificate") {
      bindings[name] = address(socketOf({ name, certificateId: binding.certificate_id }));
    } else if (binding.type === "hyperdrive" && !binding.remote && servesDatabases) {
      const database = databasePlace(name, binding.localConnectionString);
      if (database === null) continue;
      const socketPath = socketOf({ name, certificateId: "", database });
      const dev = pluginDatabase(socketPath, database);
      bindings[name] = { type: "unsafe_hyperdrive", dev } as never;
    }
  }
  return { ...config, bindings };
}

function address(socketPath: string): Wrangler.Binding {
  return { type: "fetcher", fetcher: externalService(socketPath) as never };
}

const TEARDOWN_MS = 2000;
