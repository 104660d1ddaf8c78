import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/**
 * npm leaves a platform's package out of the lock when it cannot be fetched where the lock is
 * written; `npm ci` then refuses the lock everywhere. This puts such entries back, from what the
 * package that wants them says: exact version, operating system; their integrity is the registry's. Run it after
 * `npm install` if `npm ci` names missing packages.
 */
const file = join(import.meta.dirname, "..", "package-lock.json");

interface Entry {
  version?: string;
  dev?: boolean;
  link?: boolean;
  integrity?: string;
  optional?: boolean;
  os?: string[];
  optionalDependencies?: Record<string, string>;
}

const lock = JSON.parse(readFileSync(file, "utf8")) as { packages: Record<string, Entry> };

const systems: Record<string, string> = {
  android: "android",
  darwin: "darwin",
  freebsd: "freebsd",
  linux: "linux",
  openharmony: "openharmony",
  win32: "win32",
  windows: "win32",
};

for (const [path, { dev, optionalDependencies = {} }] of Object.entries(lock.packages)) {
  for (const [name, version] of Object.entries(optionalDependencies)) {
    const os = systems[name.split(/[-/]/).find((part) => part in systems) ?? ""];
    const nested = `${path}/node_modules/${name}`;
    if (os === undefined || nested in lock.packages) continue;
    const hoisted = lock.packages[`node_modules/${name}`];
    if (hoisted?.version === version) continue;
    lock.packages[hoisted ? nested : `node_modules/${name}`] = {
      version,
      ...(dev === true && { dev }),
      optional: true,
      os: [os],
    };
    console.log(`${name} ${version}`);
  }
}

for (const [path, entry] of Object.entries(lock.packages)) {
  if (!path.includes("node_modules/") || entry.link === true || entry.integrity) continue;
  const name = path.slice(path.lastIndexOf("node_modules/") + "node_modules/".length);
  const asked = ["view", `${name}@${entry.version}`, "dist.integrity"];
  const integrity = execFileSync("npm", asked, { encoding: "utf8" }).trim();
  if (!integrity.startsWith("sha512-")) throw new Error(`the registry has no sha512 of ${name}`);
  entry.integrity = integrity;
  console.log(`${name} ${entry.version} ${integrity}`);
}

const sorted = Object.entries(lock.packages).toSorted(([one], [other]) => (one < other ? -1 : 1));
lock.packages = Object.fromEntries(sorted);
writeFileSync(file, `${JSON.stringify(lock, null, 2)}\n`);
