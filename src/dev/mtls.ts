import { resolve } from "node:path";
import picocolors from "picocolors";
import { IDENTITY } from "../contract/identity.ts";
import { openAuthority } from "./authority.ts";
import {
  bindingsSchema,
  checkOptions,
  mtlsDatabaseSchema,
  mtlsOptionsSchema,
  mtlsOriginSchema,
} from "./check-options.ts";
import { ofName, type CertificateFiles } from "./certificates.ts";
import type { DevDatabase } from "./database.ts";
import { testDatabase, ToldDatabases } from "./databases.ts";
import { readDevFile, type DevFile } from "./file.ts";
import { startDevOrigin, type DevOrigin, type DevOriginOptions } from "./origin.ts";
import { startProjectBindings } from "./session.ts";
import {
  externalService,
  miniflare4Binding,
  pluginDatabase,
  type ExternalService,
  type PluginBinding,
  type PluginBinding4,
} from "./socket-binding.ts";
import type { MtlsBinding, RawDatabase, SocketOf } from "./wrangler/wrangler.ts";

/** mTLS bindings for a test. Each presents a real certificate through the gateway. */
export interface Mtls extends AsyncDisposable {
  /** `serviceBindings` of Miniflare 4, and of tools based on it. */
  readonly serviceBindings: Readonly<Record<string, ExternalService>>;
  /** `unsafeBindings` of Miniflare 4, and of tools based on it: the bindings that have a `database`. */
  readonly unsafeBindings: PluginBinding4[];
  /** `config.env` of a Worker in Miniflare 5. */
  readonly env: Readonly<Record<string, ExternalBinding | DatabaseBinding>>;
  /** Every failure so far, in order. */
  readonly failures: readonly MtlsFailure[];
  readonly socketOf: SocketOf;
}

export type ExternalBinding = { readonly type: "external" } & ExternalService["external"];

export interface DatabaseBinding {
  readonly type: `unsafe:${string}`;
  readonly dev: PluginBinding;
}

export interface MtlsFailure {
  readonly binding: string;
  /** The same code as in the header `countersign-failure`. */
  readonly code: string;
  readonly message: string;
}

/** Without options: what countersign.json says, else a certificate of the project's development CA. */
export interface MtlsBindingOptions {
  /** PEM file with the leaf, its chain and, optionally, the key. Relative to `project`. */
  readonly cert?: string;
  /** PEM file with the private key. */
  readonly key?: string;
  /** Present the identity of the Worker with this name, instead of a certificate. */
  readonly identity?: string;
  /**
   * The connection string, with `sslmode`, of a database: makes this a `hyperdrive` binding. Default: the variable
   * CLOUDFLARE_HYPERDRIVE_LOCAL_CONNECTION_STRING_<BINDING>, else `database` of countersign.json; without any of these
   * it is an mTLS binding.
   */
  readonly database?: string;
  /** The environment that the identity names, as after `countersign identity environments on`. Default: none. */
  readonly identityEnvironment?: string;
}

export interface MtlsOptions {
  /** Folder of countersign.json and .countersign/. Default: the working directory. */
  readonly project?: string;
  /** The account in identities. Default: `development`. */
  readonly account?: string;
  /** The Wrangler environment whose part of countersign.json is used. Default: none. */
  readonly environment?: string;
  /**
   * Host in the Worker's URL → an origin to connect to instead. That origin's certificate is then valid for the host
   * too. Default: none.
   */
  readonly hosts?: Readonly<Record<string, DevOrigin>>;
}

/**
 * Opens mTLS bindings, and `hyperdrive` bindings to databases. `socketOf` also opens bindings that are not given here.
 * @throws Failure if a certificate or a connection string is not usable
 */
export async function mtls(
  bindings: Readonly<Record<string, MtlsBindingOptions>>,
  options: MtlsOptions = {},
): Promise<Mtls> {
  return await openMtls(bindings, options, []);
}

/** @param configured the databases in the Wrangler configuration */
export async function openMtls(
  bindings: Readonly<Record<string, MtlsBindingOptions>>,
  options: MtlsOptions,
  configured: readonly RawDatabase[],
): Promise<Mtls> {
  checkOptions("mtls()", bindingsSchema, bindings);
  checkOptions("mtls()'s options:", mtlsOptionsSchema, options);
  const projectFolder = resolve(options.project ?? ".");
  await answerForHosts(options.hosts ?? {});
  const file = await readDevFile(projectFolder, options.environment);
  const wanted = bindingsOf(bindings, file, configured);
  const failures: MtlsFailure[] = [];
  await using stack = new AsyncDisposableStack();
  const opened = stack.use(
    await startProjectBindings({
      projectFolder,
      workerName: "test",
      account: options.account ?? null,
      flags: options.environment === undefined ? {} : { env: options.environment },
      certificateOptions: filesOf(projectFolder, bindings),
      databases: databasesOf(bindings),
      hosts: Object.fromEntries(
        Object.entries(options.hosts ?? {}).map(([host, { port }]) => [host, `localhost:${port}`]),
      ),
      say: () => {},
      complain: () => {},
      onFailure: ({ code, message }, { bindingName }) =>
        failures.push({ binding: bindingName, code, message }),
      colors: picocolors.createColors(false),
    }),
  );
  for (const binding of wanted) await opened.open(binding);
  const owned = stack.move();
  return {
    ...toldToMiniflare(wanted, opened.socketOf),
    failures,
    socketOf: opened.socketOf,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** @throws Failure if a connection string is not usable */
function bindingsOf(
  bindings: Readonly<Record<string, MtlsBindingOptions>>,
  file: DevFile,
  configured: readonly RawDatabase[],
): readonly MtlsBinding[] {
  return Object.entries(bindings).map(([name, wanted]) => {
    const { identity: worker, identityEnvironment: environment, database: given } = wanted;
    const inFile = ofName(file.bindings, name)?.database;
    const local = configured.find((one) => one.name === name)?.localConnectionString;
    const text = given ?? ToldDatabases.variable(name) ?? inFile ?? local;
    const database = testDatabase(name, text);
    return {
      name,
      certificateId: worker === undefined ? name : IDENTITY,
      ...(worker !== undefined && { worker }),
      ...(worker !== undefined && environment !== undefined && { environment }),
      ...(database && { database }),
    };
  });
}

function toldToMiniflare(
  bindings: readonly MtlsBinding[],
  socketOf: SocketOf,
): Pick<Mtls, "serviceBindings" | "unsafeBindings" | "env"> {
  const serviceBindings: Record<string, ExternalService> = {};
  const unsafeBindings: PluginBinding4[] = [];
  const env: Record<string, ExternalBinding | DatabaseBinding> = {};
  for (const binding of bindings) {
    const { name, database } = binding;
    const socketPath = socketOf(binding);
    if (database === undefined) {
      const service = externalService(socketPath);
      serviceBindings[name] = service;
      env[name] = { type: "external", ...service.external };
    } else {
      unsafeBindings.push(miniflare4Binding(name, socketPath, database));
      env[name] = { type: "unsafe:hyperdrive", dev: pluginDatabase(socketPath, database) };
    }
  }
  return { serviceBindings, unsafeBindings, env };
}

export interface MtlsOriginOptions extends Omit<DevOriginOptions, "authority" | "onRefused"> {
  /** The folder of .countersign/, whose CA the server trusts. Default: the working directory. */
  readonly project?: string;
}

/** A server on a free port that accepts only clients of the project's development CA. */
export async function mtlsOrigin(options: MtlsOriginOptions = {}): Promise<DevOrigin> {
  checkOptions("mtlsOrigin()", mtlsOriginSchema, options);
  const { project = ".", ...others } = options;
  const authority = await openAuthority(resolve(project));
  return startDevOrigin({ ...others, authority });
}

export interface MtlsDatabaseOptions {
  /** The folder of .countersign/, whose CA the server trusts. Default: the working directory. */
  readonly project?: string;
  /** The name of a role and of its database. Default: `dev`. */
  readonly user?: string;
}

/**
 * A PostgreSQL on a free port that accepts only clients of the project's development CA whose certificate names the
 * user. Its data are removed when it is closed.
 * @throws Failure `dev_database_missing` if no PostgreSQL is installed, `dev_database_failed`
 */
export async function mtlsDatabase(options: MtlsDatabaseOptions = {}): Promise<DevDatabase> {
  checkOptions("mtlsDatabase()", mtlsDatabaseSchema, options);
  const { project = ".", user = "dev" } = options;
  const { startDevDatabase } = await import("./database.ts");
  return startDevDatabase({ authority: await openAuthority(resolve(project)), port: 0, user });
}

/** Gives each origin that replaces a host a certificate for that host. */
async function answerForHosts(hosts: Readonly<Record<string, DevOrigin>>): Promise<void> {
  const names = Map.groupBy(Object.entries(hosts), ([, origin]) => origin);
  for (const [origin, entries] of names) await origin.answerFor(entries.map(([host]) => host));
}

function filesOf(
  folder: string,
  bindings: Readonly<Record<string, MtlsBindingOptions>>,
): Record<string, CertificateFiles> {
  return Object.fromEntries(
    Object.entries(bindings).flatMap(([name, { cert, key }]) => {
      if (cert === undefined) return [];
      const paths = { cert: resolve(folder, cert) };
      return [[name, key === undefined ? paths : { ...paths, key: resolve(folder, key) }]];
    }),
  );
}

function databasesOf(
  bindings: Readonly<Record<string, MtlsBindingOptions>>,
): Record<string, string> {
  return Object.fromEntries(
    Object.entries(bindings).flatMap(([name, { database }]) =>
      database === undefined ? [] : [[name, database]],
    ),
  );
}
