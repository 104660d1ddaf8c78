import { fileURLToPath } from "node:url";
import type { DatabasePlace } from "./connection-string.ts";

// How Miniflare is told of a binding that leads to a Unix socket.

/** What Miniflare calls `external` with `http.style = proxy`: workerd connects to the socket itself. */
export function externalService(socketPath: string): ExternalService {
  return { external: { address: `unix:${socketPath}`, http: { style: 1 } } };
}

export interface ExternalService {
  readonly external: { readonly address: string; readonly http: { readonly style: 1 } };
}

export const pluginName = "countersign";

/** The options that our plugin for Miniflare 5 gets with a binding. */
export interface PluginOptions {
  readonly socketPath?: string;
  /** For a database's binding: what its connection string says. Absent: a service's binding. */
  readonly database?: PluginDatabase;
}

export interface PluginDatabase {
  readonly database: string;
  readonly user: string;
  readonly scheme: "postgresql" | "mysql";
}

/** The `dev` field of a binding that the plugin provides. */
export interface PluginBinding {
  readonly plugin: { readonly package: string; readonly name: string };
  readonly options: PluginOptions;
}

/** A database's binding that the plugin provides, in the form that Miniflare 4 accepts. */
export interface PluginBinding4 {
  readonly name: string;
  readonly type: string;
  readonly plugin: PluginBinding["plugin"];
  readonly options: Record<string, string | Record<string, string>>;
}

export function miniflare4Binding(
  name: string,
  socketPath: string,
  place: DatabasePlace,
): PluginBinding4 {
  const { plugin, options } = pluginDatabase(socketPath, place);
  const database = { ...options.database };
  return { name, type: "hyperdrive", plugin, options: { socketPath, database } };
}

export function pluginBinding(options: PluginOptions): PluginBinding {
  return { plugin: { package: pluginPath(), name: pluginName }, options };
}

/** The same for a `hyperdrive` binding. The Worker gets everything except host, port and password. */
export function pluginDatabase(
  socketPath: string,
  { database, user, protocol }: DatabasePlace,
): PluginBinding {
  const scheme = protocol === "mysql" ? "mysql" : "postgresql";
  return pluginBinding({ socketPath, database: { database, user, scheme } });
}

/** The plugin's file beside this one: `.ts` in a checkout, `.js` once built. */
function pluginPath(): string {
  const extension = import.meta.url.endsWith(".ts") ? "ts" : "js";
  return fileURLToPath(new URL(`miniflare-plugin.${extension}`, import.meta.url));
}
