/**
 * The gateway and the ingress against their peers, idle Workers, the store and the tail, in one run on one machine:
 * `npm run bench -- [--quick] [--json FILE] [--parts gateway,ingress,idle,store,tail] [--only NAME,…] [--write]`.
 * docs/benchmarks.md says how to read the result.
 */
import { writeFile } from "node:fs/promises";
import { availableParallelism, cpus, totalmem } from "node:os";
import { parseArgs } from "node:util";
import { aimsOf } from "./aims.ts";
import { measureHandshakes } from "./handshakes.ts";
import { benchIngress } from "./ingress.ts";
import { Lab, stopSignal } from "./lab.ts";
import { findLoad, type Load } from "./load/load.ts";
import { makeMaterial } from "./material.ts";
import { measure, type Sample } from "./measure.ts";
import { disturbed, writeIntoDocs } from "./markdown.ts";
import { measureMemory } from "./memory.ts";
import { startOrigin } from "./origin.ts";
import { runPart } from "./parts.ts";
import { bodyOf, fullPlan, quickPlan, type Cell } from "./plan.ts";
import { renderAims, renderMemory, renderRows, type Report } from "./report.ts";
import { rowsOf, type Row } from "./rows.ts";
import { gateway, gatewayWithIngress, twoGateways } from "./subjects/gateway.ts";
import { haproxySidecar, nginxSidecar } from "./subjects/sidecars.ts";
import { inProcess } from "./subjects/in-process.ts";
import { native, nativeTuned } from "./subjects/native.ts";
import { nodeRelay } from "./subjects/node-relay.ts";
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
  nodeRelay,
  nodeUndici,
];

const PARTS = ["gateway", "ingress", "idle", "store", "tail"];

const { values: options } = parseArgs({
  options: {
    quick: { type: "boolean", default: false },
    json: { type: "string" },
    parts: { type: "string", default: PARTS.join(",") },
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
      reports.push(
        await benchIngress({
          isQuick: options.quick,
          writes: options.write && !options.quick,
          signal,
        }),
      );
    }
    const size = options.quick ? ["--quick"] : [];
    for (const part of ["idle", "store", "tail"]) {
      if (!parts.includes(part)) continue;
      reports.push({ rows: [], ...(await runPart(part, size, signal)) });
    }
  }
  const aims = reports.flatMap((report) => report.aims);
  if (options.write && PARTS.every((part) => parts.includes(part))) {
    const where = `Of one ${kindOfRun()} on ${availableParallelism()} cores.`;
    await writeIntoDocs("aims", `${where}\n\n${renderAims(aims)}`);
  }
  return {
    rows: reports.flatMap(({ rows }) => rows),
    aims,
    idle: reports.flatMap(({ idle = [] }) => idle),
  };
}

async function run(signal: AbortSignal): Promise<Report> {
  await using lab = await Lab.open(signal);
  const material = await makeMaterial(lab);
  const origin = await startOrigin(lab, material);
  const load = findLoad();
  const cores = availableParallelism();
  say(`${cores} × ${cpus()[0]?.model}, ${Math.round(totalmem() / 2 ** 30)} GiB`);
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
  const texts: string[] = [];
  const print = (text: string): void => {
    texts.push(text);
    process.stdout.write(`${text}\n\n`);
  };
  let disturbance = 0;
  for (const cell of cells) {
    const group = await runCell(cell, running, load, signal);
    rows.push(...group.rows);
    disturbance = Math.max(disturbance, group.disturbance);
    print(renderRows(group.rows));
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
    if (handshakes !== null) print(renderRows(handshakes));
    const memory = await measureMemory(surroundings, { stored: 10_000, used: 100 });
    print(renderMemory(memory));
    memoryMb = memory.inUse / 1e6;
  }
  const aims = aimsOf(rows, memoryMb);
  process.stdout.write(`${renderAims(aims)}\n\n`);
  if (options.write) {
    const where = `Medians of one ${kindOfRun()} on ${cores} cores, with the load and the origin on the same${disturbed(disturbance)}.`;
    await writeIntoDocs("main", [where, ...texts].join("\n\n"));
  }
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
): Promise<{ readonly rows: readonly Row[]; readonly disturbance: number }> {
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
  return { rows: [...samples].flatMap(([name, list]) => rowsOf(name, what, list)), disturbance };
}

function chosen(all: readonly Subject[]): readonly Subject[] {
  const names = options.only?.split(",");
  return names === undefined ? all : all.filter(({ name }) => names.includes(name));
}

function kindOfRun(): string {
  return options.quick ? "quick run" : "run";
}

/** Progress goes to stderr, results to stdout. */
function say(line: string): void {
  process.stderr.write(`${line}\n`);
}
