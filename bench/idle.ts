/**
 * Many Workers of which few are busy, with and without `--idle-after`: how soon a starting edge, with ten certificates a
 * Worker, gives its first answer, how much memory everything takes, and how long a request waits for an idle Worker.
 * `node bench/idle.ts [--quick] [--json FILE] [workers] [busy]`, 1,000 and 20 by default.
 */
import { readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { request } from "node:http";
import { availableParallelism, loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { pino } from "pino";
import { startEdge } from "../src/edge/start-edge.ts";
import type { StartedEdge } from "../src/edge/edge-options.ts";
import { answering } from "../test/helpers/edge.ts";
import { makeVersion, MASTER_KEY, TestSource } from "../test/helpers/source.ts";
import { makeAuthority, type TestCertificate } from "../test/helpers/pki.ts";
import { atMost } from "./aims.ts";
import { stopSignal } from "./lab.ts";
import { finishPart } from "./parts.ts";
import { edgeCertificate } from "./product.ts";

const { values: options, positionals } = parseArgs({
  options: { quick: { type: "boolean", default: false }, json: { type: "string" } },
  allowPositionals: true,
});
const sizes = positionals.length > 0 ? positionals.map(Number) : options.quick ? [100, 5] : [];
const [workers = 1_000, busy = 20] = sizes;
/** As in an account that issues one for each caller of each Worker. */
const CERTIFICATES_EACH = 10;
/** Cold starts that are measured, one after the other. */
const COLD = Math.min(100, workers - busy);
/** MB that all of them may take; if more would be needed, they are not all started for comparison. */
const MOST_MB = 3_000;
/** MB of a running Worker, from `bench/edge-start.ts`. */
const EACH_MB = 15;

const stop = stopSignal();
const load = loadavg()[0]!.toFixed(1);
process.stdout.write(
  `${workers} Workers, ${busy} busy; ${availableParallelism()} cores, load ${load}\n`,
);

const issued = await issue();
const first = await run("with --idle-after", workers, 600_000);
const compared = Math.min(workers, Math.floor(MOST_MB / EACH_MB));
if (compared < workers) {
  process.stdout.write(`all of them at once do not fit: ${compared} for comparison\n`);
}
await run(`without, ${compared} Workers`, compared, null);

await finishPart(
  [atMost("s to the first answer, 10 certificates a Worker", 3, first / 1_000)],
  options,
);

/** Returns ms from nothing to the first answer. */
async function run(name: string, count: number, idleAfter: number | null): Promise<number> {
  const source = new TestSource();
  for (let i = 0; i < count * CERTIFICATES_EACH; i++) {
    source.setCertificate(edgeCertificate(`certificate-${i}`, issued[i % issued.length]!));
  }
  for (let i = 0; i < count; i++) source.deploy(makeVersion(`worker-${i}`, answering(`${i}`)));
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
      idleAfter,
    });
    const ready = performance.now() - began;
    await ask(edge, 0);
    const answered = performance.now() - began;
    for (let i = 0; i < busy; i++) await ask(edge, i);
    const taken = anonymousMemory(edge) / 1e6;
    process.stdout.write(`\n${name}\n`);
    print("from nothing to all of them deployed", `${(ready / 1000).toFixed(2)} s`);
    print("from nothing to the first answer", `${(answered / 1000).toFixed(2)} s`);
    print("processes of Workers", String(edge.status().workers.filter(({ pid }) => pid).length));
    print("memory of the platform and its Workers", `${taken.toFixed(0)} MB`);
    const times: number[] = [];
    for (let i = busy; i < busy + COLD; i++) times.push(await ask(edge, i));
    times.sort((a, b) => a - b);
    const what = idleAfter === null ? "a first request" : "a cold start";
    print(`${what}, p50`, `${times[Math.floor(times.length / 2)]!.toFixed(1)} ms`);
    print(`${what}, p99`, `${times[Math.floor(times.length * 0.99)]!.toFixed(1)} ms`);
    return answered;
  } finally {
    await rm(runDirectory, { recursive: true, force: true });
  }
}

/** Issuing takes longer than storing: each is stored under many ids. */
async function issue(): Promise<readonly TestCertificate[]> {
  const authority = await makeAuthority();
  return await Promise.all(
    Array.from({ length: 100 }, (_, i) => authority.issue({ subject: `CN=client ${i}` })),
  );
}

/** ms to the end of the answer. @throws Error if the answer is another Worker's, or a failure */
async function ask({ httpPort }: StartedEdge, index: number): Promise<number> {
  stop.throwIfAborted();
  const began = performance.now();
  const headers = { host: `worker-${index}.localhost:${httpPort}` };
  const text = await new Promise<string>((resolve, reject) => {
    request({ host: "127.0.0.1", port: httpPort, headers, agent: false }, (response) => {
      let read = "";
      response.on("data", (chunk: Buffer) => (read += chunk.toString()));
      response.on("end", () => resolve(read));
      response.on("error", reject);
    })
      .on("error", reject)
      .end();
  });
  if (text !== String(index)) throw new Error(`worker-${index} answered ${text.slice(0, 200)}`);
  return performance.now() - began;
}

/** Bytes of RAM that no other process shares, of the platform and all Workers. */
function anonymousMemory(edge: StartedEdge): number {
  const { gateway, ingress, workers: all } = edge.status();
  const pids = [process.pid, ...[gateway, ingress, ...all].flatMap(({ pid }) => pid ?? [])];
  const kilobytes = pids.map((pid) => {
    const status = readFileSync(`/proc/${pid}/status`, "utf8");
    return Number(/^RssAnon:\s+(\d+) kB$/m.exec(status)?.[1]);
  });
  return kilobytes.reduce((sum, one) => sum + one * 1024, 0);
}

function print(what: string, value: string, aim = ""): void {
  process.stdout.write(`  ${what.padEnd(40)} ${value.padStart(10)}  ${aim}\n`.trimEnd() + "\n");
}
