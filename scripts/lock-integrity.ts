import { readFileSync } from "node:fs";
import { join } from "node:path";

/**
 * Fails where an entry of the lock file would be installed unverified, or a package that nobody
 * named runs a script when it is installed. `npm run check` runs it.
 */
const root = join(import.meta.dirname, "..");
const read = (name: string): unknown => JSON.parse(readFileSync(join(root, name), "utf8"));

interface Entry {
  readonly version?: string;
  readonly integrity?: string;
  readonly link?: boolean;
  readonly hasInstallScript?: boolean;
  readonly optional?: boolean;
}

const { packages } = read("package-lock.json") as { packages: Record<string, Entry> };
const { allowScripts = {} } = read("package.json") as { allowScripts?: Record<string, boolean> };

const wrong: string[] = [];
for (const [path, { integrity, link, hasInstallScript, optional }] of Object.entries(packages)) {
  // What is in this repository itself has no archive.
  if (!path.includes("node_modules/") || link === true) continue;
  const name = path.slice(path.lastIndexOf("node_modules/") + "node_modules/".length);
  if (!/^sha512-[A-Za-z0-9+/]{86}==$/.test(integrity ?? "")) {
    wrong.push(`${path} has no sha512 integrity: run \`node scripts/complete-lock.ts\``);
  }
  if (hasInstallScript === true && optional !== true && allowScripts[name] === undefined) {
    wrong.push(`${path} runs an install script, and allowScripts of package.json does not name it`);
  }
}
if (wrong.length > 0) {
  console.error(wrong.join("\n"));
  process.exitCode = 1;
}
