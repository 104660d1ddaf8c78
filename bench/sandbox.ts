/**
 * How much the sandbox around a Worker costs, and how a Worker that burns CPU affects its neighbours: `node
 * bench/sandbox.ts [requests]`, 4,000 by default, as root. No sandbox, a separate user for each Worker, and bubblewrap
 * take turns in one run. With the last two, the gateway has a separate user too.
 */
import { mkdtemp, readFile, rm, symlink } from "node:fs/promises";
import { Agent, request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { startEdge } from "../src/edge/start-edge.ts";
import type { StartedEdge } from "../src/edge/edge-options.ts";
import { startGateway } from "../src/gateway/start.ts";
import { findProcessUsers } from "../src/process/walls/process-users.ts";
import { answering } from "../test/helpers/edge.ts";
import { until } from "../test/helpers/until.ts";
import { makeVersion, MASTER_KEY, TestSource } from "../test/helpers/source.ts";
import { cpuOf } from "./cpu.ts";

const count = Number(process.argv[2] ?? 4_000);
const ROUNDS = 3;
const BURNS = "export default { fetch() { for (;;); } };";

interface Figures {
  readonly gatewayMs: number[];
  readonly startMs: number[];
  readonly cpuPerRequest: number[];
  readonly residentMiB: number[];
  readonly quietP99: number[];
  readonly busyP99: number[];
}

const KINDS = ["privileges", "user", "bubblewrap"] as const;
type Kind = (typeof KINDS)[number];

/** A PATH with the machine's commands except bubblewrap. */
const withoutBubblewrap = await mkdtemp(join(tmpdir(), "countersign-bench-path-"));
for (const name of ["setpriv", "prlimit"]) {
  await symlink(`/usr/bin/${name}`, join(withoutBubblewrap, name));
}
const PATH = process.env["PATH"];

const measured = new Map<Kind, Figures>();
for (let round = 0; round < ROUNDS; round++) {
  for (const kind of KINDS) await measure(kind);
}
await rm(withoutBubblewrap, { recursive: true });
print("", "without", "own user", "bubblewrap");
for (const [what, key, digits] of [
  ["start of the gateway, ms", "gatewayMs", 1],
  ["deploy to live, ms", "startMs", 1],
  ["CPU of the Worker a request, µs", "cpuPerRequest", 1],
  ["resident memory of a Worker, MiB", "residentMiB", 1],
  ["p99 of a Worker, ms", "quietP99", 2],
  ["p99 while a neighbour burns CPU, ms", "busyP99", 2],
] as const) {
  print(what, ...KINDS.map((kind) => median(measured.get(kind)![key]).toFixed(digits)));
}

async function measure(kind: Kind): Promise<void> {
  const figures = measured.get(kind) ?? {
    gatewayMs: [],
    startMs: [],
    cpuPerRequest: [],
    residentMiB: [],
    quietP99: [],
    busyP99: [],
  };
  measured.set(kind, figures);
  const source = new TestSource();
  const runDirectory = await mkdtemp(join(tmpdir(), "countersign-bench-"));
  process.env["PATH"] = kind === "user" ? withoutBubblewrap : PATH;
  try {
    const users = await findProcessUsers(kind === "privileges" ? "off" : "auto", runDirectory);
    const gatewayBegan = performance.now();
    const gateway = { masterKey: MASTER_KEY, runDirectory, user: users.gateway };
    const started = await startGateway(gateway);
    figures.gatewayMs.push(performance.now() - gatewayBegan);
    await started[Symbol.asyncDispose]();
    await using edge = await startEdge({
      users,
      source,
      masterKey: MASTER_KEY,
      runDirectory,
      httpPort: 0,
      sandbox: kind === "privileges" ? "off" : "required",
      limits: { cpu: 0 },
      log: pino({ level: "error" }),
      gateway: { logLevel: "silent" },
      stopGrace: 200,
    });
    const { sandbox } = edge.status();
    if (sandbox.kind !== kind) throw new Error(sandbox.summary);
    for (let i = 0; i < 5; i++) {
      const version = makeVersion("quiet", answering(`${i}`));
      const began = performance.now();
      await edge.stage(version);
      await edge.applied(source.deploy(version));
      figures.startMs.push(performance.now() - began);
    }
    await requests(edge, "quiet", count / 10);
    const quiet = () => edge.status().workers.filter(({ scriptName }) => scriptName === "quiet");
    // Replaced generations are gone.
    await until(() => quiet().length === 1);
    const { pid } = quiet()[0]!;
    const before = cpuOf([pid!]).get(pid!)!;
    figures.quietP99.push(await requests(edge, "quiet", count));
    figures.cpuPerRequest.push((cpuOf([pid!]).get(pid!)! - before) / count);
    figures.residentMiB.push(await resident(pid!));
    await edge.applied(source.deploy(makeVersion("burns", BURNS)));
    const burning = request({ port: edge.httpPort, headers: { host: "burns.localhost" } });
    burning.on("error", () => {}).end();
    await new Promise((resolve) => setTimeout(resolve, 200));
    figures.busyP99.push(await requests(edge, "quiet", count));
    burning.destroy();
  } finally {
    process.env["PATH"] = PATH;
    await rm(runDirectory, { recursive: true, force: true });
  }
}

/** Sends requests and returns their p99 in ms. */
async function requests(edge: StartedEdge, script: string, most: number): Promise<number> {
  const agent = new Agent({ keepAlive: true });
  const times: number[] = [];
  const pump = async (): Promise<void> => {
    while (times.length < most) {
      const began = performance.now();
      await ask(edge.httpPort, script, agent);
      times.push(performance.now() - began);
    }
  };
  await Promise.all(Array.from({ length: 4 }, pump));
  agent.destroy();
  return times.toSorted((a, b) => a - b)[Math.floor(times.length * 0.99)]!;
}

function ask(port: number, script: string, agent: Agent): Promise<void> {
  return new Promise((resolve, reject) => {
    request({ port, agent, headers: { host: `${script}.localhost` } }, (response) => {
      response.resume().once("end", resolve);
    })
      .once("error", reject)
      .end();
  });
}

async function resident(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, "utf8");
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) / 1024;
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!;
}

function print(what: string, ...values: readonly string[]): void {
  const cells = values.map((value) => value.padStart(12));
  process.stdout.write(`${what.padEnd(40)}${cells.join("")}\n`);
}
