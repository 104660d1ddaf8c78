import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Aim } from "./aims.ts";
import { renderAims } from "./report.ts";

/** What a part that runs in a process of its own writes to the file of `--json`. */
export interface PartReport {
  readonly aims: readonly Aim[];
}

/** Runs `bench/NAME.ts` in a separate process, because the memory or the CPU of that process is measured. */
export async function runPart(
  name: string,
  args: readonly string[],
  signal: AbortSignal,
): Promise<PartReport> {
  const folder = await mkdtemp(join(tmpdir(), "countersign-bench-"));
  try {
    const file = join(folder, "report.json");
    const script = fileURLToPath(new URL(`${name}.ts`, import.meta.url));
    const child = spawn(process.execPath, [script, ...args, "--json", file], {
      stdio: ["ignore", "inherit", "inherit"],
    });
    const end = () => child.kill();
    signal.addEventListener("abort", end);
    const [status] = (await once(child, "close")) as [number | null];
    signal.removeEventListener("abort", end);
    signal.throwIfAborted();
    if (status !== 0) throw new Error(`bench/${name}.ts ended with status ${status}`);
    return JSON.parse(await readFile(file, "utf8")) as PartReport;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Prints the aims, and writes them where `--json` says. */
export async function finishPart(
  aims: readonly Aim[],
  { json }: { readonly json?: string },
): Promise<void> {
  process.stdout.write(`\n${renderAims(aims)}\n`);
  if (json !== undefined) await writeFile(json, `${JSON.stringify({ aims }, null, 2)}\n`);
}
