/**
 * Mutation testing: changes the source in small ways, one at a time, and runs the nearest unit tests.
 * A mutant that no test notices shows what is not tested.
 *
 *     npm run mutants                       # the files that changed against main
 *     npm run mutants -- src/network src/keys/seal.ts
 *
 * The nearest tests of a file are the unit tests that import it; where there are none, those that
 * import a file that does, and so on. A file that no unit test reaches is named and left out.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Import, importsIn } from "./rooms.ts";

const root: string = join(import.meta.dirname, "..");

/** The unit tests nearest to a file of `src/`. Both are paths from `src/`. */
export function nearestTests(file: string, imports: readonly Import[]): string[] {
  const seen = new Set([file]);
  for (let near = [file]; near.length > 0;) {
    const importers = near.flatMap((one) => imports.filter(({ to }) => to === one));
    const next = [...new Set(importers.map(({ from }) => from))].filter((one) => !seen.has(one));
    const tests = next.filter((one) => one.endsWith(".test.ts"));
    if (tests.length > 0) return tests.toSorted();
    for (const one of next) seen.add(one);
    near = next;
  }
  return [];
}

/** Paths from `src/` of the files to change: those named, those in folders named, else those changed. */
function chosen(named: readonly string[], known: readonly string[]): string[] {
  const names = named.length > 0 ? named.map((name) => name.replace(/\/$/, "")) : changed();
  for (const name of named) {
    if (!known.some((one) => within(one, [name.replace(/\/$/, "")]))) {
      throw new Error(`${name} is no source file or folder of src/`);
    }
  }
  return known.filter((one) => !one.endsWith(".test.ts") && within(one, names));
}

function within(file: string, names: readonly string[]): boolean {
  return names.some((name) => `src/${file}` === name || `src/${file}`.startsWith(`${name}/`));
}

function changed(): string[] {
  const [base = "main"] = git("merge-base", "main", "HEAD");
  return [
    ...git("diff", "--name-only", base),
    ...git("ls-files", "--others", "--exclude-standard"),
  ].filter((name) => name.startsWith("src/"));
}

function git(...args: readonly string[]): string[] {
  return execFileSync("git", args, { cwd: root, encoding: "utf8" }).split("\n");
}

function run(named: readonly string[]): number {
  const { files: known, imports } = importsIn(join(root, "src"));
  const tests = new Set<string>();
  const mutate: string[] = [];
  for (const file of chosen(named, known)) {
    const nearest = nearestTests(file, imports);
    if (nearest.length === 0) console.log(`src/${file}: no unit test reaches it`);
    else mutate.push(`src/${file}`);
    for (const one of nearest) tests.add(`src/${one}`);
  }
  if (mutate.length === 0) {
    console.log("nothing to change");
    return 0;
  }
  console.log(`${mutate.length} files, tested by ${tests.size}`);
  const folder = mkdtempSync(join(tmpdir(), "countersign-mutants-"));
  try {
    const config = JSON.parse(readFileSync(join(root, "stryker.config.json"), "utf8")) as {
      tap: object;
    };
    const file = join(folder, "stryker.config.json");
    const tap = { ...config.tap, testFiles: [...tests] };
    writeFileSync(file, JSON.stringify({ ...config, mutate, tap }));
    const { status } = spawnSync("stryker", ["run", file], { cwd: root, stdio: "inherit" });
    return status ?? 1;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

if (import.meta.main) process.exitCode = run(process.argv.slice(2));
