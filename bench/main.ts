/**
 * The gateway and the ingress against their peers, and idle Workers, in one run on one machine: `npm run bench --
 * [--quick] [--json FILE] [--parts gateway,ingress,idle] [--only NAME,…] [--write]`. docs/benchmarks.md says how to
 * read the result.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { cpus, totalmem } from "node:os";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { aimsOf } from "./aims.ts";
import { measureHandshakes } from "./handshakes.ts";
import { benchIngress } from "./ingress.ts";
import { Lab, stopSignal } from "./lab.ts";
import { findLoad, type Load } from "./load/load.ts";
import { makeMaterial } from "./material.ts";
import { measure, type Sample } from "./measure.ts";
import { measureMemory } from "./memory.ts";
import { startOrigin } from "./origin.ts";
import { bodyOf, fullPlan, quickPlan, type Cell } from "./plan.ts";
import { renderAims, renderMemory, renderRows, type Report } from "./report.ts";
import { rowsOf, type Row } from "./rows.ts";
import { gateway, gatewayWithIngress, twoGateways } from "./subjects/gateway.ts";
import { haproxySidecar, nginxSidecar } from "./subjects/sidecars.ts";
import { inProcess } from "./subjects/in-process.ts";
import { native, nativeTuned } from "./subjects/native.ts";
import { nodeUndici } from "./subjects/node-undici.ts";
import { NotInstalled, type RunningSubject, type Subject } from "./subjects/subject.ts";
import { workerdProxy } from "./subjects/workerd-proxy.ts";

const subjects: readonly Subject[] = [
  native,
  nativeTuned,
  gateway,
  twoGateways,
  gatewayWithIngress,
  inProcess,
  workerdProxy,
  nginxSidecar,
  haproxySidecar,
  nodeUndici,
];

const { values: options } = parseArgs({
  options: {
    quick: { type: "boolean", default: false },
    json: { type: "string" },
    parts: { type: "string", default: "gateway,ingress,idle" },
    only: { type: "string" },
    write: { type: "boolean", default: false },
  },
});

const stop = stopSignal();
try {
  const report = await runParts(options.parts.split(","), stop);
  if (options.json !== undefined) {
    await writeFile(options.json, `${JSON.stringify(report, null, 2)}\n`);
  }
} catch (error) {
  if (!stop.aborted) throw error;
  say("stopped");
  process.exitCode = 130;
}

async function runParts(parts: readonly string[], signal: AbortSignal): Promise<Report> {
  const reports: Report[] = [];
  if (parts.includes("gateway")) reports.push(await run(signal));
  // Named subjects are subjects of the gateway's part.
  if (options.only === undefined) {
    if (parts.includes("ingress")) {
      reports.push(await benchIngress({ isQuick: options.quick, writes: options.write, signal }));
    }
    if (parts.includes("idle")) await benchIdle(signal);
  }
  return {
    rows: reports.flatMap(({ rows }) => rows),
    aims: reports.flatMap(({ aims }) => aims),
    idle: reports.flatMap(({ idle = [] }) => idle),
  };
}

/** Runs in a separate process, because the memory of that process is measured. */
async function benchIdle(signal: AbortSignal): Promise<void> {
  const script = fileURLToPath(new URL("idle.ts", import.meta.url));
  const args = options.quick ? ["100", "5"] : [];
  const child = spawn(process.execPath, [script, ...args], {
    stdio: ["ignore", "inherit", "inherit"],
  });
  const end = () => child.kill();
  signal.addEventListener("abort", end);
  const [status] = (await once(child, "close")) as [number | null];
  signal.removeEventListener("abort", end);
  signal.throwIfAborted();
  if (status !== 0) throw new Error(`bench/idle.ts ended with status ${status}`);
}

async function run(signal: AbortSignal): Promise<Report> {
  await using lab = await Lab.open(signal);
  const material = await makeMaterial(lab);
  const origin = await startOrigin(lab, material);
  const load = findLoad();
  say(`${cpus().length} × ${cpus()[0]?.model}, ${Math.round(totalmem() / 2 ** 30)} GiB`);
  say(`origin: ${origin.name}; load: ${load.name}\n`);

  await using cleanup = new AsyncDisposableStack();
  const running = new Map<string, RunningSubject>();
  for (const subject of chosen(subjects)) {
    const started = await orMissing(subject.name, () => subject.start({ lab, material, origin }));
    if (started === null) continue;
    if (started.stop !== undefined) cleanup.defer(started.stop);
    running.set(subject.name, started);
    say(`${subject.name}: ${subject.what}`);
  }
  say("");

  const cells = options.quick ? quickPlan : fullPlan;
  // Just-in-time compilers need some requests first.
  for (const [, subject] of running) {
    await measure({ subject, cell: { ...cells[0]!, seconds: 1 }, load, signal });
  }
  const rows: Row[] = [];
  for (const cell of cells) {
    const group = await runCell(cell, running, load, signal);
    rows.push(...group);
    process.stdout.write(`${renderRows(group)}\n\n`);
  }
  let memoryMb: number | null = null;
  const gatewayRun = running.get(gateway.name);
  if (gatewayRun !== undefined) {
    const surroundings = { lab, material, origin };
    const shape = options.quick ? { rounds: 1, seconds: 2 } : { rounds: 5, seconds: 3 };
    const handshakes = await orMissing("openssl s_time", () =>
      measureHandshakes(surroundings, {
        gateways: [gateway, twoGateways].flatMap(({ name }) => {
          const one = running.get(name);
          return one === undefined ? [] : [{ name: `${name} alone`, ...one }];
        }),
        ...shape,
      }),
    );
    rows.push(...(handshakes ?? []));
    process.stdout.write(`${renderRows(handshakes ?? [])}\n\n`);
    const memory = await measureMemory(surroundings, { stored: 10_000, used: 100 });
    process.stdout.write(`${renderMemory(memory)}\n\n`);
    memoryMb = memory.inUse / 1e6;
  }
  const aims = aimsOf(rows, memoryMb);
  process.stdout.write(`${renderAims(aims)}\n`);
  return { rows, aims };
}

/** Null: it cannot be measured here, and the reason was printed. */
async function orMissing<T>(name: string, start: () => Promise<T>): Promise<T | null> {
  try {
    return await start();
  } catch (error) {
    if (!(error instanceof NotInstalled)) throw error;
    say(`${name}: missing, ${error.message}`);
    return null;
  }
}

/** Measures every subject once in each round; the order rotates from round to round. */
async function runCell(
  cell: Cell,
  running: ReadonlyMap<string, RunningSubject>,
  load: Load,
  signal: AbortSignal,
): Promise<Row[]> {
  const asked = [...running].filter(
    ([, { resumes }]) => cell.handshakes !== "resumed" || resumes === true,
  );
  const samples = new Map<string, Sample[]>(asked.map(([name]) => [name, []]));
  for (let round = 0; round < cell.rounds; round += 1) {
    const first = round % asked.length;
    const turned = [...asked.slice(first), ...asked.slice(0, first)];
    for (const [name, subject] of turned) {
      samples.get(name)!.push(await measure({ subject, cell, load, signal }));
    }
  }
  const disturbance = Math.max(...[...samples.values()].flat().map((one) => one.disturbance));
  if (disturbance > 0.1) {
    say(`${bodyOf(cell)}: up to ${Math.round(disturbance * 100)} % of the CPU went elsewhere`);
  }
  const what = { connections: cell.connections, body: bodyOf(cell) };
  return [...samples].flatMap(([name, list]) => rowsOf(name, what, list));
}

function chosen(all: readonly Subject[]): readonly Subject[] {
  const names = options.only?.split(",");
  return names === undefined ? all : all.filter(({ name }) => names.includes(name));
}

/** Progress goes to stderr, results to stdout. */
function say(line: string): void {
  process.stderr.write(`${line}\n`);
}
