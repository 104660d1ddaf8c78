import picocolors from "picocolors";
import { checkOptions, pluginSchema } from "./check-options.ts";
import { databasePlace } from "./connection-string.ts";
import { connectionString } from "./databases.ts";
import { readDevFile } from "./file.ts";
import { openDatabase, refuseUnknown, startProjectBindings, strayBindings } from "./session.ts";
import type { DevBindings } from "./bindings.ts";
import { resolve } from "node:path";
import { pluginBinding, pluginDatabase } from "./socket-binding.ts";
import { loadWrangler } from "./wrangler/wrangler.ts";
import { findConfiguration } from "./wrangler/wrangler-package.ts";

export interface CountersignPluginOptions {
  /** PEM files by binding, relative to Vite's root. Default: as in `countersign dev`. */
  readonly certificates?: Readonly<
    Record<string, { readonly cert: string; readonly key?: string }>
  >;
}

/** A Vite plugin, and the configuration that `cloudflare()` needs. */
export interface CountersignPlugin {
  readonly name: "countersign";
  readonly enforce: "pre";
  config(user: { root?: string }, environment: ViteEnvironment): Promise<void>;
  configureServer(server: ViteServer): void;
  configurePreviewServer(server: ViteServer): void;
  /** For `cloudflare({ config: … })`: the mTLS bindings lead to the gateway while Vite serves. */
  readonly workerConfig: (config: WorkerConfig) => void;
}

interface ViteEnvironment {
  readonly command: "serve" | "build";
}

interface ViteServer {
  readonly httpServer: { once(event: "close", listener: () => void): unknown } | null;
}

interface WorkerConfig {
  name?: string | undefined;
  hyperdrive?: { binding: string; id: string; localConnectionString?: string }[];
  mtls_certificates?: { binding: string; certificate_id: string }[];
  services?: object[] | undefined;
}

/**
 * mTLS bindings for Vite projects, beside `@cloudflare/vite-plugin`: `const mtls = countersign(); plugins: [mtls,
 * cloudflare({ config: mtls.workerConfig })]`. The plugin does not affect a build, whose bindings are the platform's.
 *
 * @throws Failure `dev_option_malformed` for an unknown field
 */
export function countersign(options: CountersignPluginOptions = {}): CountersignPlugin {
  checkOptions("countersign()", pluginSchema, options);
  let bindings: DevBindings | null = null;
  const closeWith = ({ httpServer }: ViteServer): void => {
    httpServer?.once("close", () => {
      void bindings?.[Symbol.asyncDispose]();
      bindings = null;
    });
  };
  return {
    name: "countersign",
    enforce: "pre",
    config: async ({ root = "." }, { command }) => {
      if (command === "serve" && bindings === null) {
        bindings = await start(resolve(root), options);
      }
    },
    configureServer: closeWith,
    configurePreviewServer: closeWith,
    workerConfig: (config) => {
      if (bindings !== null) {
        replaceBindings(config, bindings);
      }
    },
  };
}

async function start(root: string, options: CountersignPluginOptions): Promise<DevBindings> {
  const environment = process.env["CLOUDFLARE_ENV"];
  const wrangler = await loadWrangler(root);
  const project = wrangler.readProject({
    configPath: findConfiguration(root),
    environment,
  });
  const certificates = options.certificates ?? {};
  const known = [...project.bindings, ...project.databases];
  refuseUnknown(certificates, known, "countersign()'s `certificates`");
  const file = await readDevFile(root, environment);
  const stray = strayBindings(file, known);
  if (stray !== null) write(`${picocolors.yellow("⚠")} ${stray}`);
  await using stack = new AsyncDisposableStack();
  const bindings = stack.use(
    await startProjectBindings({
      projectFolder: root,
      workerName: project.name ?? "worker",
      account: project.accountId,
      flags: environment ? { env: environment } : {},
      certificateOptions: Object.fromEntries(
        Object.entries(certificates).map(([name, { cert, key }]) => [
          name,
          { cert: resolve(root, cert), ...(key === undefined ? {} : { key: resolve(root, key) }) },
        ]),
      ),
      say: write,
      complain: write,
      colors: picocolors,
    }),
  );
  for (const binding of project.bindings) {
    await bindings.open(binding);
  }
  for (const raw of project.databases) {
    await openDatabase(raw, file, { bindings, say: write, wrangler });
  }
  stack.move();
  return bindings;
}

/** Vite's own logger exists only after the configuration, and the configuration needs the bindings. */
function write(line: string): void {
  console.log(line);
}

/** Makes each binding a service whose `dev.plugin` is ours: the only kind of binding that a plugin may provide. */
function replaceBindings(config: WorkerConfig, bindings: DevBindings): void {
  const services = (config.mtls_certificates ?? []).map((raw) => ({
    binding: raw.binding,
    service: "countersign",
    dev: pluginBinding({
      socketPath: bindings.socketOf({ name: raw.binding, certificateId: raw.certificate_id }),
    }),
  }));
  config.mtls_certificates = [];
  const all = config.hyperdrive ?? [];
  const databases = all.flatMap((raw) => {
    const { binding: name, localConnectionString } = raw;
    const database = databasePlace(
      name,
      connectionString({ name, localConnectionString }, undefined),
    );
    if (database === null) return [];
    const socketPath = bindings.socketOf({ name, certificateId: "", database });
    return [{ binding: name, service: "countersign", dev: pluginDatabase(socketPath, database) }];
  });
  const ours = new Set(databases.map(({ binding }) => binding));
  if (ours.size > 0) config.hyperdrive = all.filter(({ binding }) => !ours.has(binding));
  config.services = [...(config.services ?? []), ...services, ...databases];
}
