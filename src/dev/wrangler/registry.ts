import { statSync } from "node:fs";
import { createRequire } from "node:module";
import { homedir } from "node:os";
import { join } from "node:path";

/**
 * The folder in which `wrangler dev` sessions find each other, for service bindings between them: the one that the
 * project's own `wrangler dev` uses, whichever tool started the other session.
 */
export function registryPath(require: NodeJS.Require): string {
  const { env } = process;
  const fromWrangler = createRequire(require.resolve("wrangler/package.json"));
  const miniflare = fromWrangler("miniflare") as { getDefaultDevRegistryPath(): string };
  return env["WRANGLER_REGISTRY_PATH"] ?? wranglersOwn(miniflare.getDefaultDevRegistryPath());
}

/**
 * Miniflare 5 has its own folder, but wrangler based on it stays with `.wrangler`: in the home folder if that exists,
 * else in the configuration folder. With Miniflare 4 both are the same folder.
 */
export function wranglersOwn(miniflares: string, home: string = homedir()): string {
  const [, configuration] =
    /^(.*)[\\/]cloudflare[\\/]dev-registry[\\/]v\d+$/.exec(miniflares) ?? [];
  if (configuration === undefined || process.env["CLOUDFLARE_DEV_REGISTRY_PATH"]) return miniflares;
  const legacy = join(home, ".wrangler");
  const isLegacy = statSync(legacy, { throwIfNoEntry: false })?.isDirectory() === true;
  return join(isLegacy ? legacy : join(configuration, ".wrangler"), "registry");
}
