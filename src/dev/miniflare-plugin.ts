import {
  externalService,
  pluginName,
  type PluginOptions,
  type ToldDatabase,
} from "./socket-binding.ts";

// Loaded by Miniflare 5 by its path, for bindings that name it in `dev.plugin`. It is how Vite's
// plugin, which builds its own Miniflare options, comes by a binding that leads to a socket.

interface WorkerOptions {
  readonly config: { readonly env?: Readonly<Record<string, EnvBinding>> };
}

interface EnvBinding {
  readonly type: string;
  readonly dev?: {
    /** Miniflare 5 gives KV, D1, R2, queues and send_email a `dev` without one. */
    readonly plugin?: { readonly name: string };
    readonly options?: PluginOptions;
  };
}

interface SocketBinding {
  readonly name: string;
  readonly socketPath: string;
  readonly database: ToldDatabase | undefined;
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

function socketBindings({ config }: WorkerOptions): readonly SocketBinding[] {
  return Object.entries(config.env ?? {}).flatMap(([name, { dev }]) => {
    const { socketPath, database } = dev?.options ?? {};
    return dev?.plugin?.name === pluginName && socketPath ? [{ name, socketPath, database }] : [];
  });
}

/** As on the platform: the gateway signs in, and drivers want something there. */
const NO_PASSWORD = "kept-by-the-gateway";

function serviceName(socketPath: string): string {
  return `countersign:${socketPath}`;
}
