/**
 * How long an edge takes to start everything that is deployed and to make one deploy live, and how much memory a Worker
 * takes. `node bench/edge-start.ts [workers]`, 100 by default.
 */
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { startEdge } from "../src/edge/start-edge.ts";
import type { StartedEdge } from "../src/edge/edge-options.ts";
import { answering } from "../test/helpers/edge.ts";
import { makeVersion, MASTER_KEY, TestSource } from "../test/helpers/source.ts";

const count = Number(process.argv[2] ?? 100);
const source = new TestSource();
for (let i = 0; i < count; i++) source.deploy(makeVersion(`worker-${i}`, answering(`${i}`)));

print("processors", String(availableParallelism()));
const runDirectory = await mkdtemp(join(tmpdir(), "countersign-bench-"));
try {
  const began = performance.now();
  await using edge = await startEdge({
    source,
    masterKey: MASTER_KEY,
    runDirectory,
    httpPort: 0,
    log: pino({ level: "warn" }),
    gateway: { logLevel: "silent" },
    stopGrace: 1_000,
  });
  const started = performance.now() - began;
  print(`${count} Workers, from nothing to all of them live`, `${(started / 1000).toFixed(2)} s`);
  print("a Worker's share of it", `${(started / count).toFixed(0)} ms`);
  print("deploy → live (median of 20)", `${median(await deploys(edge)).toFixed(0)} ms`);
  const memory = await Promise.all(edge.status().workers.map(({ pid }) => anonymousMemory(pid!)));
  print("anonymous memory of a Worker (median)", `${(median(memory) / 1024).toFixed(1)} MiB`);
} finally {
  await rm(runDirectory, { recursive: true, force: true });
}

async function deploys(edge: StartedEdge): Promise<readonly number[]> {
  const times: number[] = [];
  for (let i = 0; i < 20; i++) {
    const version = makeVersion("worker-0", answering(`again ${i}`));
    const began = performance.now();
    await edge.stage(version);
    await edge.applied(source.deploy(version));
    times.push(performance.now() - began);
  }
  return times;
}

/** KiB that no other process shares. NaN without /proc. */
async function anonymousMemory(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, "utf8").catch(() => "");
  return Number(/^RssAnon:\s+(\d+) kB$/m.exec(status)?.[1] ?? Number.NaN);
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!;
}

function print(what: string, value: string): void {
  process.stdout.write(`${what.padEnd(48)} ${value.padStart(10)}\n`);
}
