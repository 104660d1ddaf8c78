import { readdirSync, readFileSync } from "node:fs";
import { execFileSync } from "node:child_process";

/** CPU µs that each process, with all its descendants, has used so far; the keys are the given ids. */
export function cpuOf(pids: Iterable<number>): Map<number, number> {
  const processes = new Map(allProcesses().map((one) => [one.pid, one]));
  const sums = new Map<number, number>([...pids].map((pid) => [pid, 0]));
  for (const { pid, cpu } of processes.values()) {
    for (let at: number | undefined = pid; at !== undefined; at = processes.get(at)?.parent) {
      const sum = sums.get(at);
      if (sum === undefined) continue;
      sums.set(at, sum + cpu);
      break;
    }
  }
  return sums;
}

/** CPU µs of this process, all its descendants, and its children that have ended. */
export function ourCpu(): number {
  return cpuOf([process.pid]).get(process.pid)! + endedCpu();
}

/** CPU µs of this process's children that have ended. */
export function endedCpu(): number {
  const stat = readFileSync("/proc/self/stat", "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[13]) + Number(fields[14])) * TICK;
}

/** CPU µs that the whole machine was busy for, and CPU µs that it could have been busy for. */
export function machineCpu(): { busy: number; all: number } {
  const [line = ""] = readFileSync("/proc/stat", "utf8").split("\n", 1);
  // user nice system idle iowait irq softirq steal; user time already includes guest time
  const fields = line.trim().split(/\s+/).slice(1, 9).map(Number);
  const all = fields.reduce((sum, field) => sum + field, 0);
  return { busy: (all - fields[3]! - fields[4]!) * TICK, all: all * TICK };
}

/** Resident memory of one process in bytes. */
export function residentMemory(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1]) * 1024;
}

/** Resident memory in bytes of a process and all its descendants. Shared memory is counted more than once. */
export function memoryOfTree(root: number): number {
  const pids = new Set([root]);
  for (let before = 0; before < pids.size;) {
    before = pids.size;
    for (const { pid, parent } of allProcesses()) if (pids.has(parent)) pids.add(pid);
  }
  return [...pids].reduce((sum, pid) => sum + residentMemory(pid), 0);
}

interface Process {
  readonly pid: number;
  readonly parent: number;
  readonly cpu: number;
}

/** µs in a clock tick. */
const TICK = 1e6 / Number(execFileSync("getconf", ["CLK_TCK"], { encoding: "utf8" }));

function allProcesses(): Process[] {
  const found: Process[] = [];
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const stat = readFileSync(`/proc/${name}/stat`, "utf8");
      // The second field, in parentheses, may contain any characters, even spaces and parentheses.
      const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      const [, parent, utime, stime] = [fields[0], fields[1], fields[11], fields[12]];
      found.push({
        pid: Number(name),
        parent: Number(parent),
        cpu: (Number(utime) + Number(stime)) * TICK,
      });
    } catch {
      // The process has ended meanwhile.
    }
  }
  return found;
}
