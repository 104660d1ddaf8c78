import { cpuOf, machineCpu, ourCpu } from "./cpu.ts";
import type { Load } from "./load/load.ts";
import { pathOf, type Cell } from "./plan.ts";
import type { RunningSubject } from "./subjects/subject.ts";

/** One measurement of one subject in one cell. */
export interface Sample {
  readonly rps: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** CPU µs for each request, by the role of the process. */
  readonly cpu: Readonly<Record<string, number>>;
  /** Share of the machine's CPU that other work took, 0 to 1. */
  readonly disturbance: number;
}

export interface Measured {
  readonly subject: RunningSubject;
  readonly cell: Cell;
  readonly load: Load;
  readonly signal: AbortSignal;
}

export async function measure({ subject, cell, load, signal }: Measured): Promise<Sample> {
  const roles = Object.entries(subject.processes);
  const pids = roles.map(([, pid]) => pid);
  const before = { cpu: cpuOf(pids), machine: machineCpu(), ours: ourCpu() };
  const { requests, rps, p50Ms, p99Ms } = await load.run(
    {
      url: subject.base + pathOf(cell),
      ...(subject.host !== undefined && { host: subject.host }),
      connections: cell.connections,
      seconds: cell.seconds,
    },
    signal,
  );
  const after = { cpu: cpuOf(pids), machine: machineCpu(), ours: ourCpu() };
  const others = after.machine.busy - before.machine.busy - (after.ours - before.ours);
  return {
    rps,
    p50Ms,
    p99Ms,
    cpu: Object.fromEntries(
      roles.map(([role, pid]) => [role, (after.cpu.get(pid)! - before.cpu.get(pid)!) / requests]),
    ),
    disturbance: Math.max(0, others) / (after.machine.all - before.machine.all),
  };
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((one, other) => one - other);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}
