import {
  externalService,
  pluginName,
  type PluginOptions,
  type PluginDatabase,
} from "./socket-binding.ts";

// Miniflare loads this file by its path, for bindings that name it: in `dev.plugin` (5), or among `unsafeBindings` (4).
// With it a `hyperdrive` binding leads to a socket. It also gives Vite's plugin, which builds its own Miniflare
// options, every kind of binding that leads to a socket.

type WorkerOptions =
  | { readonly config: { readonly env?: Readonly<Record<string, EnvBinding>> } }
  /** Miniflare 4 passes the bindings that name this plugin. */
  | readonly Miniflare4Binding[];

interface Miniflare4Binding {
  readonly name: string;
  readonly options: PluginOptions;
}

interface EnvBinding {
  readonly type: string;
  readonly dev?: {
    /** Miniflare 5 gives KV, D1, R2, queues and send_email a `dev` without a plugin. */
    readonly plugin?: { readonly name: string };
    readonly options?: PluginOptions;
  };
}

interface SocketBinding {
  readonly name: string;
  readonly socketPath: string;
  readonly database: PluginDatabase | undefined;
}

interface MiniflarePlugin {
  getBindings(options: WorkerOptions): object[];
  getNodeBindings(options: WorkerOptions): Record<string, unknown>;
  getServices(context: { readonly options: WorkerOptions }): object[];
}

export const plugins: Record<typeof pluginName, MiniflarePlugin> = {
  [pluginName]: {
    getBindings: (options) =>
      socketBindings(options).map(({ name, socketPath, database }) => {
        const service = { name: serviceName(socketPath) };
        if (database === undefined) return { name, service };
        return { name, hyperdrive: { designator: service, ...database, password: NO_PASSWORD } };
      }),
    getNodeBindings: () => ({}),
    getServices: ({ options }) =>
      socketBindings(options).map(({ socketPath }) => {
        const { external } = externalService(socketPath);
        return { name: serviceName(socketPath), external };
      }),
  },
};

function socketBindings(options: WorkerOptions): readonly SocketBinding[] {
  return bindingsOf(options).flatMap(({ name, options: { socketPath, database } }) =>
    socketPath ? [{ name, socketPath, database }] : [],
  );
}

function bindingsOf(options: WorkerOptions): readonly Miniflare4Binding[] {
  if (!("config" in options)) return options;
  return Object.entries(options.config.env ?? {}).flatMap(([name, { dev }]) =>
    dev?.plugin?.name === pluginName ? [{ name, options: dev.options ?? {} }] : [],
  );
}

/** As on the platform, the gateway signs in, but drivers require a password. */
const NO_PASSWORD = "kept-by-the-gateway";

function serviceName(socketPath: string): string {
  return `countersign:${socketPath}`;
}
