/**
 * Mutation testing: changes the source in small ways, one at a time, and runs the nearest tests.
 * A mutant that no test notices shows what is not tested.
 *
 *     npm run mutants                       # the files that changed against main
 *     npm run mutants -- src/network src/keys/seal.ts
 *     npm run mutants -- --write src/keys   # and writes the figures into decisions/
 *
 * The nearest test of a file is the one that has its name. Where there is none: the unit tests that
 * import it, else those that import a file that does, and so on. `mutants-behaviour.ts` names the
 * files that other tests cover.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { otherTests } from "./mutants-behaviour.ts";
import { countOf, withFigures, type Count, type Mutants } from "./mutants-figures.ts";
import { type Import, importsIn } from "./rooms.ts";

const root: string = join(import.meta.dirname, "..");
const figures: string = join(root, "decisions/0096-mutants.md");

/** The unit tests nearest to a file of `src/`. Both are paths from `src/`. */
export function nearestTests(file: string, imports: readonly Import[]): string[] {
  const own = file.replace(/\.ts$/, ".test.ts");
  if (imports.some(({ from }) => from === own)) return [own];
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

/** Null: nothing could be counted, and StrykerJS has said why. */
function measure(file: string, tests: readonly string[]): Count | null {
  const isBehaviour = tests.some((one) => one.startsWith("test/"));
  const folder = mkdtempSync(join(tmpdir(), "countersign-mutants-"));
  try {
    const config = JSON.parse(readFileSync(join(root, "stryker.config.json"), "utf8")) as {
      tap: object;
    };
    const report = join(folder, "report.json");
    const path = join(folder, "stryker.config.json");
    const own = {
      mutate: [file],
      tap: { ...config.tap, testFiles: tests },
      jsonReporter: { fileName: report },
      // What runs in another process than the test's cannot be told apart.
      ...(isBehaviour && { coverageAnalysis: "off", timeoutMS: 60_000 }),
    };
    writeFileSync(path, JSON.stringify({ ...config, ...own }));
    const runs = { COUNTERSIGN_EVENT_RUNS: "300", COUNTERSIGN_POOL_RUNS: "100" };
    const env = { ...process.env, ...runs };
    const { status } = spawnSync("stryker", ["run", path], { cwd: root, stdio: "inherit", env });
    if (status !== 0) return null;
    const { files } = JSON.parse(readFileSync(report, "utf8")) as {
      files: Record<string, Mutants>;
    };
    return countOf(files[file]?.mutants ?? []);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function run(args: readonly string[]): number {
  const { values, positionals } = parseArgs({
    args: [...args],
    options: { write: { type: "boolean" } },
    allowPositionals: true,
  });
  const { files: known, imports } = importsIn(join(root, "src"));
  const files = chosen(positionals, known);
  if (files.length === 0) console.log("nothing to change");
  let failed = 0;
  for (const one of files) {
    const file = `src/${one}`;
    const tests = otherTests[file] ?? nearestTests(one, imports).map((test) => `src/${test}`);
    if (tests.length === 0) {
      console.log(`${file}: no unit test reaches it, and no behaviour test is named for it`);
      continue;
    }
    console.log(`${file}, tested by ${tests.join(", ")}`);
    const count = measure(file, tests);
    if (count === null) failed += 1;
    else if (values.write === true) {
      const today = new Date().toISOString().slice(0, 10);
      const text = readFileSync(figures, "utf8");
      writeFileSync(figures, withFigures(text, { file, ...count, date: today }));
    }
  }
  return failed === 0 ? 0 : 1;
}

if (import.meta.main) process.exitCode = run(process.argv.slice(2));
