import { statSync } from "node:fs";
import { createRequire } from "node:module";
import { homedir } from "node:os";
import { join } from "node:path";

/**
 * Where `wrangler dev` sessions find each other, for service bindings between them: the folder that
 * the project's own `wrangler dev` uses, whatever started the other.
 */
export function registryPath(require: NodeJS.Require): string {
  const { env } = process;
  const fromWrangler = createRequire(require.resolve("wrangler/package.json"));
  const miniflare = fromWrangler("miniflare") as { getDefaultDevRegistryPath(): string };
  return env["WRANGLER_REGISTRY_PATH"] ?? wranglersOwn(miniflare.getDefaultDevRegistryPath());
}

/**
 * Miniflare 5 has a folder of its own; wrangler on top of it stays with `.wrangler`, in the home
 * folder where that is there, else in the configuration folder. With Miniflare 4 both are one.
 */
export function wranglersOwn(miniflares: string, home: string = homedir()): string {
  const [, configuration] =
    /^(.*)[\\/]cloudflare[\\/]dev-registry[\\/]v\d+$/.exec(miniflares) ?? [];
  if (configuration === undefined || process.env["CLOUDFLARE_DEV_REGISTRY_PATH"]) return miniflares;
  const legacy = join(home, ".wrangler");
  const isLegacy = statSync(legacy, { throwIfNoEntry: false })?.isDirectory() === true;
  return join(isLegacy ? legacy : join(configuration, ".wrangler"), "registry");
}
