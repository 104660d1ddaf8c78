import { cpuOf, endedCpu } from "./cpu.ts";
import { findProgram } from "./lab.ts";
import { output, runClient } from "./load/load.ts";
import { median } from "./measure.ts";
import { round, type Row } from "./rows.ts";
import { NotInstalled, type RunningSubject, type Surroundings } from "./subjects/subject.ts";

export interface HandshakeOrder {
  /** Requests go to the `socket` of each, without a Worker. */
  readonly gateways: readonly (RunningSubject & { readonly name: string })[];
  readonly rounds: number;
  readonly seconds: number;
}

interface Speed {
  readonly rps: number;
  readonly p50Ms: number | null;
  readonly p99Ms: number | null;
  readonly cpu: number;
}

/**
 * Full handshakes with a client certificate, one for each request: how many the gateway makes on this machine, and how
 * many OpenSSL's own benchmark makes, in turns, with 1 and with 16 at a time. One `s_time` makes one after the other,
 * so 16 at a time are 16 processes.
 * @throws NotInstalled
 */
export async function measureHandshakes(
  surroundings: Surroundings,
  { gateways, rounds, seconds }: HandshakeOrder,
): Promise<Row[]> {
  const openssl = findProgram("openssl");
  if (openssl === null) throw new NotInstalled("openssl is not installed");
  const rows: Row[] = [];
  for (const connections of [1, 16]) {
    const order = { connections, seconds };
    const theirs: Speed[] = [];
    const ours = gateways.map((): Speed[] => []);
    for (let turn = 0; turn < rounds; turn += 1) {
      theirs.push(await timeOpenssl(openssl, surroundings, order));
      for (const [at, gateway] of gateways.entries()) {
        ours[at]!.push(await timeGateway(gateway, surroundings, order));
      }
    }
    rows.push(rowOf("openssl s_time", connections, theirs));
    for (const [at, { name }] of gateways.entries()) {
      rows.push(rowOf(name, connections, ours[at]!));
    }
  }
  return rows;
}

interface Order {
  readonly connections: number;
  readonly seconds: number;
}

async function timeOpenssl(
  openssl: string,
  { lab, material, origin }: Surroundings,
  { connections, seconds }: Order,
): Promise<Speed> {
  const { authority, clientChain, clientKey } = material.files;
  const where = ["-connect", `localhost:${origin.port}`, "-www", "/each/small"];
  const identity = ["-cert", clientChain, "-key", clientKey, "-CAfile", authority];
  const args = ["s_time", "-new", "-time", String(seconds), "-verify", "3", ...where, ...identity];
  const before = endedCpu();
  const texts = await Promise.all(
    Array.from({ length: connections }, () => output(openssl, args, lab.signal)),
  );
  const count = texts.reduce((sum, text) => {
    const found = /^(\d+) connections in \d+ real seconds/m.exec(text);
    if (found === null) throw new Error(`s_time said: ${text}`);
    return sum + Number(found[1]);
  }, 0);
  const cpu = (endedCpu() - before) / count;
  return { rps: count / seconds, p50Ms: null, p99Ms: null, cpu };
}

async function timeGateway(
  gateway: RunningSubject,
  { lab, origin }: Surroundings,
  { connections, seconds }: Order,
): Promise<Speed> {
  const pids = Object.entries(gateway.processes).flatMap(([name, pid]) =>
    name.startsWith("gateway") ? pid : [],
  );
  const before = sumOf(cpuOf(pids));
  const path = `https://localhost:${origin.port}/each/small`;
  const sockets = [gateway.socket!];
  const { requests, ...speed } = await runClient(
    { base: "http://gateway", path, connections, seconds, sockets },
    lab.signal,
  );
  return { ...speed, cpu: (sumOf(cpuOf(pids)) - before) / requests };
}

function sumOf(cpu: ReadonlyMap<number, number>): number {
  return [...cpu.values()].reduce((sum, one) => sum + one, 0);
}

function rowOf(subject: string, connections: number, speeds: readonly Speed[]): Row {
  const middle = (pick: (speed: Speed) => number | null): number | null => {
    const values = speeds.map(pick).filter((value) => value !== null);
    return values.length === 0 ? null : round(median(values));
  };
  return {
    subject,
    connections,
    body: "small, a handshake each",
    rps: round(median(speeds.map(({ rps }) => rps))),
    p50_ms: middle(({ p50Ms }) => p50Ms),
    p99_ms: middle(({ p99Ms }) => p99Ms),
    cpu_us: middle(({ cpu }) => cpu),
  };
}
