import { readdirSync, readFileSync } from "node:fs";

/**
 * ms of CPU that a process has used so far, in all of its threads. Null: not known here, or it has
 * ended.
 */
export function cpuTime(pid: number): number | null {
  return ofThreads(pid) ?? inTicks(pid);
}

/** To the nanosecond, where the kernel keeps such a count. */
function ofThreads(pid: number): number | null {
  try {
    let total = 0;
    for (const thread of readdirSync(`/proc/${pid}/task`)) {
      const [run] = readFileSync(`/proc/${pid}/task/${thread}/schedstat`, "latin1").split(" ");
      total += Number(run);
    }
    return Number.isFinite(total) && total > 0 ? total / 1e6 : null;
  } catch {
    return null;
  }
}

/** In hundredths of a second. */
function inTicks(pid: number): number | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return (Number(fields[11]) + Number(fields[12])) * 10;
  } catch {
    return null;
  }
}
