/**
 * The ingress, nginx, HAProxy and Caddy, each in front of the same Worker, in turns in one run: `node bench/ingress.ts
 * [--quick] [--idle N] [--json FILE] [--write]`. docs/benchmarks.md says how to read the result.
 */
import { writeFile } from "node:fs/promises";
import { parseArgs } from "node:util";
import { makeAuthority } from "../test/helpers/pki.ts";
import type { Aim } from "./aims.ts";
import { aimsOfIngress } from "./ingress/aims.ts";
import {
  type Front,
  type FrontSurroundings,
  HOST,
  type IngressMaterial,
  WAYS,
} from "./ingress/front.ts";
import { type HandshakeSample, measureHandshakes } from "./ingress/handshakes.ts";
import { measureIdle, mostConnections } from "./ingress/idle.ts";
import { startOwn } from "./ingress/own.ts";
import { peers } from "./ingress/peers.ts";
import { fullIngressPlan, type IngressPlan, quickIngressPlan } from "./ingress/plan.ts";
import { type IdleRow, type IngressReport, renderIngress } from "./ingress/report.ts";
import { measureRequests } from "./ingress/requests.ts";
import { Lab, stopSignal } from "./lab.ts";
import { writeIntoDocs } from "./markdown.ts";
import { median, type Sample } from "./measure.ts";
import { renderAims } from "./report.ts";
import { round, type Row, rowsOf } from "./rows.ts";
import { NotInstalled } from "./subjects/subject.ts";

export interface IngressOptions {
  readonly isQuick: boolean;
  /** TLS connections that are kept open. Default: the plan's number. */
  readonly idle?: number;
  /** Whether the tables are written into docs/benchmarks.md. */
  readonly writes: boolean;
  readonly signal: AbortSignal;
}

/** Prints its tables, and which aims are reached. */
export async function benchIngress({
  isQuick,
  idle,
  writes,
  signal,
}: IngressOptions): Promise<IngressReport & { readonly aims: readonly Aim[] }> {
  const plan = isQuick ? quickIngressPlan : fullIngressPlan;
  await using lab = await Lab.open(signal);
  const report = await measureAll(lab, { ...plan, idle: mostConnections(idle ?? plan.idle) });
  const text = renderIngress(report);
  process.stdout.write(`${text}\n`);
  if (writes) await writeIntoDocs("ingress", text);
  const aims = aimsOfIngress(report);
  process.stdout.write(`${renderAims(aims)}\n`);
  return { ...report, aims };
}

async function measureAll(lab: Lab, plan: IngressPlan): Promise<IngressReport> {
  const material = await makeMaterial(lab);
  const own = await startOwn(lab, material);
  try {
    const surroundings = { lab, material, worker: own.worker.socket, connections: plan.idle };
    const fronts = [own.front, ...(await startPeers(surroundings))];
    const common = { workerPid: own.worker.pid, material, signal: lab.signal };
    const rows: Row[] = [];
    let disturbance = 0;
    for (const way of WAYS) {
      for (const front of fronts) await front.prepare?.(way);
      for (const { connections, rounds, seconds } of plan.requests) {
        const order = { ...common, way, connections, seconds };
        // Just-in-time compilers need some requests first.
        for (const front of fronts) await measureRequests({ ...order, front, seconds: 1 });
        const samples = await inTurns(fronts, rounds, (front) =>
          measureRequests({ ...order, front }),
        );
        rows.push(...rowsOfAll(samples, { connections, body: way }));
        disturbance = Math.max(
          disturbance,
          ...[...samples.values()].flat().map((one) => one.disturbance),
        );
      }
      if (way === "HTTP") continue;
      const { connections, rounds, seconds } = plan.handshakes;
      const samples = await inTurns(fronts, rounds, (front) =>
        measureHandshakes({ ...common, way, connections, seconds, front }),
      );
      rows.push(...handshakeRows(samples, { connections, body: `handshakes, ${way}` }));
      say(`${way}: measured`);
    }
    for (const front of fronts) await front.prepare?.("HTTPS");
    const idle: IdleRow[] = [];
    for (const front of fronts) {
      const { connections, bytesEach } = await measureIdle(front, material, {
        connections: plan.idle,
        signal: lab.signal,
      });
      idle.push({
        subject: front.name,
        connections,
        kib_each: bytesEach === null ? null : round(bytesEach / 1024),
      });
      if (bytesEach === null) say(`${front.name} closed connections that were idle`);
    }
    return { rows, idle, disturbance };
  } finally {
    await own.stop();
  }
}

async function makeMaterial(lab: Lab): Promise<IngressMaterial> {
  const authority = await makeAuthority("Bench CA");
  const server = await authority.issue({ subject: `CN=${HOST}`, dns: [HOST] });
  const client = await authority.issue({ subject: "CN=bench client" });
  return {
    authority,
    server,
    client,
    files: {
      authority: await lab.write("ca.pem", authority.pem),
      chain: await lab.write("server.pem", server.chain),
      key: await lab.write("server.key", server.key),
      both: await lab.write("server-both.pem", server.chain + server.key),
    },
  };
}

async function startPeers(surroundings: FrontSurroundings): Promise<Front[]> {
  const fronts: Front[] = [];
  for (const [name, start] of Object.entries(peers)) {
    try {
      const front = await start(surroundings);
      say(`${front.name}: ${front.what}`);
      fronts.push(front);
    } catch (error) {
      if (!(error instanceof NotInstalled)) throw error;
      say(`${name}: missing, ${error.message}`);
    }
  }
  return fronts;
}

/** Measures every front once in each round; the order rotates from round to round. */
async function inTurns<T>(
  fronts: readonly Front[],
  rounds: number,
  once: (front: Front) => Promise<T>,
): Promise<Map<string, T[]>> {
  const samples = new Map<string, T[]>(fronts.map(({ name }) => [name, []]));
  for (let turn = 0; turn < rounds; turn += 1) {
    const at = turn % fronts.length;
    for (const front of [...fronts.slice(at), ...fronts.slice(0, at)]) {
      samples.get(front.name)!.push(await once(front));
    }
  }
  return samples;
}

type What = Pick<Row, "connections" | "body">;

function rowsOfAll(samples: ReadonlyMap<string, readonly Sample[]>, what: What): Row[] {
  return [...samples].flatMap(([name, list]) => rowsOf(name, what, list));
}

function handshakeRows(
  samples: ReadonlyMap<string, readonly HandshakeSample[]>,
  what: What,
): Row[] {
  return [...samples].map(([subject, list]) => ({
    subject,
    ...what,
    rps: round(median(list.map(({ perSecond }) => perSecond))),
    p50_ms: null,
    p99_ms: null,
    cpu_us: round(median(list.map(({ cpu }) => cpu))),
  }));
}

function say(line: string): void {
  process.stderr.write(`${line}\n`);
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      quick: { type: "boolean", default: false },
      idle: { type: "string" },
      json: { type: "string" },
      write: { type: "boolean", default: false },
    },
  });
  const report = await benchIngress({
    isQuick: values.quick,
    writes: values.write,
    signal: stopSignal(),
    ...(values.idle !== undefined && { idle: Number(values.idle) }),
  });
  if (values.json !== undefined)
    await writeFile(values.json, `${JSON.stringify(report, null, 2)}\n`);
}
