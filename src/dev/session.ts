import { dirname, relative } from "node:path";
import type { Colors } from "../terminal/io.ts";
import { openAuthority } from "./authority.ts";
import { suggestion } from "./check-options.ts";
import { openDevBindings, type DevBindings } from "./bindings.ts";
import { ofName, type CertificateFiles, type FromPlatform } from "./certificates.ts";
import { databasePlace } from "./connection-string.ts";
import { connectionString, ToldDatabases, type GivenDatabases } from "./databases.ts";
import { endTogether } from "./ends-together.ts";
import { readDevFile, type DevFile } from "./file.ts";
import { startDevGateway, type OnFailure } from "./gateway.ts";
import { FailureReporter } from "./wrangler/reporter.ts";
import { makeRunFolder } from "./run-folder.ts";
import { describeBinding } from "./say.ts";
import { startInput, type DevFlags } from "./wrangler/start-input.ts";
import {
  loadWrangler,
  type DevServer,
  type LoadedWrangler,
  type RawDatabase,
} from "./wrangler/wrangler.ts";
import { Failure } from "../failures/failures.ts";

/** A running `countersign dev`. */
export interface DevSession extends AsyncDisposable {
  readonly server: DevServer;
}

export interface DevSessionOptions {
  /** Absolute: the folder in which the command was started. */
  readonly folder: string;
  readonly script?: string | undefined;
  readonly flags: DevFlags;
  /** Files given with `--cert`, by binding. Absolute paths. */
  readonly certificateOptions: Readonly<Record<string, CertificateFiles>>;
  /** Default: no platform is asked. */
  readonly fromPlatform?: FromPlatform;
  /** Absolute: a file that is made whenever the platform starts, and removed when it ends. Default: none. */
  readonly platformSocket?: string;
  readonly say: (line: string) => void;
  readonly complain: (line: string) => void;
  readonly colors: Colors;
}

/**
 * Starts wrangler's development server with each mTLS binding at a socket of the gateway.
 * @throws Failure, or WranglerError with wrangler's own message
 */
export async function startDevSession(options: DevSessionOptions): Promise<DevSession> {
  const { folder, flags, script, say, colors } = options;
  const wrangler = await loadWrangler(folder);
  say(`countersign dev, with wrangler ${wrangler.version}`);
  if (wrangler.notice) {
    options.complain(`${colors.yellow("⚠")} ${wrangler.notice}`);
  }
  const project = wrangler.readProject({
    configPath: flags.config,
    environment: flags.env,
    script,
  });
  const known = [...project.bindings, ...project.databases];
  refuseUnknown(options.certificateOptions, known, "--cert");
  const projectFolder = project.configPath === null ? folder : dirname(project.configPath);
  const file = await readDevFile(projectFolder, flags.env);
  const stray = strayBindings(file, known);
  if (stray !== null) options.complain(`${colors.yellow("⚠")} ${stray}`);
  await using stack = new AsyncDisposableStack();
  const bindings = stack.use(
    await startProjectBindings({
      ...options,
      projectFolder,
      workerName: flags.name ?? project.name ?? "worker",
      account: project.accountId,
    }),
  );
  for (const binding of project.bindings) {
    await bindings.open(binding);
  }
  for (const raw of project.databases) {
    await openDatabase(raw, file, { bindings, say, wrangler });
  }
  stack.use(await endTogether(wrangler.workerd));
  const server = await wrangler.startServer({
    input: startInput(script, flags),
    bindings: project.bindings,
    socketOf: bindings.socketOf,
  });
  stack.defer(() => server.close());
  const owned = stack.move();
  return { server, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

export interface ProjectBindingsOptions extends Pick<
  DevSessionOptions,
  "certificateOptions" | "fromPlatform" | "platformSocket" | "say" | "complain" | "colors"
> {
  readonly projectFolder: string;
  readonly workerName: string;
  /** The account in the Worker's identity. Null: `development`. */
  readonly account: string | null;
  readonly flags: Pick<DevFlags, "env">;
  /** Hosts in addition to those of countersign.json, which they override. Default: none. */
  readonly hosts?: Readonly<Record<string, string>>;
  /** Databases given in code. Default: none. */
  readonly databases?: GivenDatabases;
  /** Called with every failure. Default: each failure is explained once, with `complain`. */
  readonly onFailure?: OnFailure;
}

/** Starts a gateway and its bindings for the project in `projectFolder`, and prints what happens to them. */
export async function startProjectBindings(options: ProjectBindingsOptions): Promise<DevBindings> {
  const { projectFolder, workerName, say, complain, colors } = options;
  await using stack = new AsyncDisposableStack();
  const reporter = new FailureReporter(complain, colors, projectFolder);
  const runFolder = stack.use(await makeRunFolder());
  const { gateway, keyring } = stack.use(startDevGateway(options.onFailure ?? reporter.onFailure));
  let file: DevFile | undefined;
  const databases = stack.use(new ToldDatabases(options.databases));
  const bindings = stack.use(
    await openDevBindings({
      gateway,
      keyring,
      runFolder: runFolder.path,
      authority: await openAuthority(projectFolder),
      workerName,
      account: options.account,
      environment: options.flags.env ?? null,
      certificateOptions: options.certificateOptions,
      fromPlatform: options.fromPlatform ?? (async () => null),
      platformSocket: options.platformSocket ?? null,
      readFile: async () => {
        file = await readDevFile(projectFolder, options.flags.env);
        const hosts = { ...file.hosts, ...options.hosts };
        return { ...file, hosts, bindings: databases.tell(file.bindings) };
      },
      onCertificate: (chosen) => {
        reporter.presents(chosen);
        const trust = describeTrust(file, chosen.binding);
        say(describeBinding(chosen, { trust, now: new Date(), colors }));
      },
      onProblem: (error, still) => reporter.problem(error, still),
    }),
  );
  const owned = stack.move();
  return {
    socketOf: bindings.socketOf,
    open: (binding) => bindings.open(binding),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

interface OpenDatabaseParts {
  readonly bindings: DevBindings;
  readonly say: (line: string) => void;
  readonly wrangler: Pick<LoadedWrangler, "version" | "servesDatabases">;
}

/** wrangler itself serves a database that asks for no TLS; a line says so. */
export async function openDatabase(
  raw: RawDatabase,
  file: DevFile,
  { bindings, say, wrangler }: OpenDatabaseParts,
): Promise<void> {
  const { name } = raw;
  const text = connectionString(raw, ofName(file.bindings, name)?.database);
  const database = databasePlace(name, text);
  if (database !== null && wrangler.servesDatabases) {
    await bindings.open({ name, certificateId: "", database });
  } else if (database !== null) {
    say(
      `${name} goes to its database without a certificate, by wrangler ${wrangler.version} itself: that needs one with Miniflare 5`,
    );
  } else if (text !== undefined) {
    say(
      `${name} goes to its database without TLS: its connection string has no sslmode=require, verify-ca or verify-full`,
    );
  }
}

/**
 * @param what how the certificates were given: `--cert`
 * @throws Failure `dev_binding_unknown`
 */
export function refuseUnknown(
  certificates: Readonly<Record<string, CertificateFiles>>,
  bindings: readonly { readonly name: string }[],
  what: string,
): void {
  const names = bindings.map(({ name }) => name);
  for (const name of Object.keys(certificates)) {
    if (!names.includes(name)) {
      throw new Failure("dev_binding_unknown", {
        message: `${what} names "${name}", and the project's mTLS bindings are ${names.join(", ") || "none"}`,
        facts: { binding: name, bindings: names },
      });
    }
  }
}

/**
 * Bindings of countersign.json that the project does not have. Another environment may have them, so this returns a
 * sentence, or null, and does not throw for them.
 * @throws Failure `dev_binding_unknown` if the file has a misspelt name of one of the project's bindings
 */
export function strayBindings(
  file: Pick<DevFile, "path" | "bindings">,
  bindings: readonly { readonly name: string }[],
): string | null {
  const names = bindings.map(({ name }) => name);
  const inFile = Object.keys(file.bindings);
  const stray = inFile.filter((name) => !names.includes(name));
  for (const name of stray) {
    const meant = suggestion(
      name,
      names.filter((one) => !inFile.includes(one)),
    );
    if (meant === "") continue;
    throw new Failure("dev_binding_unknown", {
      message: `${file.path} names the binding "${name}"${meant}`,
      facts: { binding: name, bindings: names },
    });
  }
  if (stray.length === 0) return null;
  return `${file.path} names ${stray.map((name) => `"${name}"`).join(", ")}, and the mTLS bindings of this environment are ${names.join(", ") || "none"}`;
}

function describeTrust(file: DevFile | undefined, binding: string): string {
  const own = ofName(file?.bindings ?? {}, binding)?.ca;
  if (own) {
    return own.map(shorten).join(", ");
  }
  return ["public roots", "the development CA", ...(file?.ca ?? []).map(shorten)].join(", ");
}

function shorten(path: string): string {
  return relative(process.cwd(), path);
}
