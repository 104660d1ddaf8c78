import { createRequire } from "node:module";
import { existsSync } from "node:fs";
import { mkdir, stat, writeFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { Failure } from "../../failures/failures.ts";

export const testedVersions = { oldest: "4.48.0", newest: "4.164.0" };

/** Looks in the file system, because a package need not export its manifest. */
export function findManifest(folder: string, packageName: string): string | null {
  const manifest = join(folder, "node_modules", packageName, "package.json");
  if (existsSync(manifest)) {
    return manifest;
  }
  return dirname(folder) === folder ? null : findManifest(dirname(folder), packageName);
}

export function requireFrom(folder: string): NodeJS.Require {
  for (const base of [join(folder, "package.json"), import.meta.filename]) {
    const require = createRequire(base);
    try {
      require.resolve("wrangler/package.json");
      return require;
    } catch {
      // Not installed in this place; the next one is tried.
    }
  }
  throw new Failure("dev_wrangler_missing", {
    message: `no wrangler was found from "${folder}"`,
  });
}

/** The project's configuration file, even if the caller was started in another folder. */
export function findConfiguration(folder: string): string | undefined {
  const names = ["wrangler.json", "wrangler.jsonc", "wrangler.toml"];
  return names.map((name) => resolve(folder, name)).find((path) => existsSync(path));
}

export function checkVersion(version: string): void {
  if (!version.startsWith("4.") || isNewer(testedVersions.oldest, version)) {
    throw new Failure("dev_wrangler_unsupported", {
      message: `wrangler ${version} is installed, and ${testedVersions.oldest} up to 4.x is supported`,
      facts: { version, ...testedVersions },
    });
  }
}

export function isNewer(version: string, than: string): boolean {
  return version.localeCompare(than, "en", { numeric: true }) > 0;
}

/** Unless told not to, wrangler fetches a sample of `request.cf` from the internet, and reports its use. */
export async function keepOffline(require: NodeJS.Require, folder: string): Promise<void> {
  process.env["CLOUDFLARE_CF_FETCH_ENABLED"] ??= "false";
  process.env["WRANGLER_SEND_METRICS"] ??= "false";
  if (miniflareOf(require) < 5) {
    await fillCfCache(folder);
  }
}

/** The major version of wrangler's Miniflare. */
export function miniflareOf(require: NodeJS.Require): number {
  const miniflare = fromWrangler(require)("miniflare/package.json") as { version: string };
  return Number.parseInt(miniflare.version, 10);
}

/** The path of Miniflare's workerd. */
export function workerdOf(require: NodeJS.Require): string {
  const fromMiniflare = createRequire(fromWrangler(require).resolve("miniflare/package.json"));
  return (fromMiniflare("workerd") as { readonly default: string }).default;
}

function fromWrangler(require: NodeJS.Require): NodeJS.Require {
  return createRequire(require.resolve("wrangler/package.json"));
}

/** Miniflare 4 has no such setting, but fetches nothing while its cache is younger than 30 days. */
async function fillCfCache(folder: string): Promise<void> {
  const cache = resolve("node_modules", ".mf", "cf.json");
  const age = await stat(cache).then(
    ({ mtimeMs }) => Date.now() - mtimeMs,
    () => Number.POSITIVE_INFINITY,
  );
  if (age > 25 * 24 * 3_600_000 && existsSync(folder)) {
    await mkdir(dirname(cache), { recursive: true });
    await writeFile(cache, JSON.stringify({ colo: "DFW", country: "US", tlsVersion: "TLSv1.3" }));
  }
}
