import { execFile } from "node:child_process";
import { readFileSync, statSync, writeFileSync } from "node:fs";
import { promisify } from "node:util";
import type { WorkerVersion } from "../../contract/change-feed.ts";
import type { Run } from "../../process/kept.ts";
import type { MemoryGroups } from "../../process/memory-groups.ts";

/** What one process of a Worker may take. */
export interface ProcessLimits {
  /** MiB of JavaScript's heap. 0: no limit. */
  readonly memory: number;
  /** Seconds that it may compute without answering. 0: no limit. */
  readonly cpu: number;
}

export const defaultProcessLimits: ProcessLimits = { memory: 128, cpu: 10 };

/** What a Worker asks for counts, but not below what can be told from a busy machine. */
export function limitsFor(
  { limits }: Pick<WorkerVersion, "limits">,
  { memory, cpu }: ProcessLimits,
): ProcessLimits {
  const asked = limits?.cpuMs;
  return { memory, cpu: asked === undefined || cpu === 0 ? cpu : Math.max(asked / 1000, 1) };
}

export interface LimitedRun extends Run {
  /** Bytes of RAM that it holds. Null: not known. */
  memory(): number | null;
}

/**
 * Keeps a process that has answered its first probe within its limits, until it ends.
 * @param probe resolves when the process has answered; it does without the Worker's code, but not
 * while that computes
 * @param groups where the kernel counts its memory as well. Null, the default: it does not
 */
export async function limited(
  run: Run,
  limits: ProcessLimits,
  probe: () => Promise<void>,
  groups: MemoryGroups | null = null,
): Promise<LimitedRun> {
  const { pid } = run;
  preferForOom(pid);
  const most = limits.memory === 0 ? Infinity : await limitMemory(pid, limits.memory);
  const group = limits.memory === 0 ? null : await groups?.limit(pid, bytesAbove(limits.memory));
  let cause: string | null = null;
  const kill = (why: string): void => {
    cause ??= why;
    signal(pid);
  };
  const watch = new CpuWatch(() => lookAt(pid), limits.cpu, probe);
  const still = new StillWatch(() => lookAt(pid));
  const timer = setInterval(() => {
    const stuck = watch.look();
    if (still.look()) kill(`it stood still for ${STILL / 1000} s, stopped by a signal`);
    else if (stuck !== null) kill(`it exceeded its CPU limit: ${stuck}`);
    else if (residentBytes(pid)! > most)
      kill(`it exceeded its memory limit of ${limits.memory} MiB`);
  }, TICK);
  timer.unref();
  const ended = run.ended.then((how) => {
    clearInterval(timer);
    const isKilled = group?.exceeded() === true;
    void group?.remove();
    if (cause !== null) return cause;
    const isMemory = limits.memory > 0 && (isKilled || OUT_OF_MEMORY.test(how));
    return isMemory ? `it exceeded its memory limit of ${limits.memory} MiB: ${how}` : how;
  });
  return { pid, ended, stop: (grace) => run.stop(grace), memory: () => residentBytes(pid) };
}

/** Did it end because of a limit? */
export function isOverLimit(reason: string | null): boolean {
  return reason?.startsWith("it exceeded its ") === true;
}

/** ms between two looks */
const TICK = 500;

/** How V8, its allocators and the C library say it. V8 checks `errno` for ENOMEM, which is 12. */
export const OUT_OF_MEMORY: RegExp =
  /out of memory|OOM|(failed to|cannot) allocate|alloc\w* fail|mprotect.*failed|CodeRange|bad_alloc|ENOMEM|12 == .*errno/i;

/** The kernel, when it has no memory left, takes a Worker before anything that others need. */
function preferForOom(pid: number): void {
  try {
    writeFileSync(`/proc/${pid}/oom_score_adj`, "500");
  } catch {
    // It has just ended, or there is no Linux.
  }
}

/**
 * Writes of private memory fail beyond the limit: of the heap, of buffers and of WebAssembly alike.
 * What is limited is what is mapped, garbage included: under load, that is much more than the heap
 * holds, so it has twice the heap and never less than 256 MiB beside what the process began with.
 * @returns the bytes of RAM at which a watch has to end it, where the kernel does not
 */
async function limitMemory(pid: number, heap: number): Promise<number> {
  const above = bytesAbove(heap);
  const begun = statusOf(pid, "VmData");
  if (begun === null) return Infinity;
  try {
    // As its own user: for another's, root needs a capability that it does not have everywhere.
    const { uid, gid } = statSync(`/proc/${pid}`);
    const as = uid === process.getuid?.() ? {} : { uid, gid };
    await promisify(execFile)("prlimit", ["--pid", String(pid), `--data=${begun + above}`], as);
  } catch {
    // No util-linux here. The watch is coarser, but it is one.
  }
  return (residentBytes(pid) ?? 0) + above;
}

/** What a process may take beyond what it began with. @param heap MiB */
function bytesAbove(heap: number): number {
  return Math.max(256, heap * 2) * MIB;
}

const MIB = 1024 * 1024;

function residentBytes(pid: number): number | null {
  return statusOf(pid, "VmRSS");
}

function statusOf(pid: number, field: string): number | null {
  try {
    const status = readFileSync(`/proc/${pid}/status`, "latin1");
    const kilobytes = new RegExp(`^${field}:\\s+(\\d+) kB$`, "m").exec(status)?.[1];
    return kilobytes === undefined ? null : Number(kilobytes) * 1024;
  } catch {
    return null;
  }
}

function signal(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It has just ended.
  }
}

/**
 * Notices a process that a signal has stopped and that nobody has continue. It cannot be one that
 * waits for something, or for its turn on a busy machine: the kernel says so of no other.
 */
export class StillWatch {
  readonly #look: () => Look | null;
  #looks = 0;

  constructor(look: () => Look | null) {
    this.#look = look;
  }

  /** Has it stood still for too long? */
  look(): boolean {
    // Looks are counted, not timed: who stops the whole platform for a while stops this process too.
    this.#looks = this.#look()?.isStopped === true ? this.#looks + 1 : 0;
    return this.#looks * TICK > STILL;
  }
}

/** ms: somebody may stop a process for a moment, to look at it. */
const STILL = 5_000;

/**
 * Notices an isolate that computes and answers nothing meanwhile. A loop and a long computation look
 * alike from outside: it is a limit of CPU time without an answer.
 */
export class CpuWatch {
  readonly #look: () => Look | null;
  readonly #limit: number;
  readonly #probe: () => Promise<void>;
  #before: Look;
  /** Null: it has answered, or was not asked. */
  #silence: { readonly since: number; cpu: number } | null = null;

  /** @param look Null: the process has ended, or nothing can be known of it */
  constructor(look: () => Look | null, limit: number, probe: () => Promise<void>) {
    this.#look = look;
    this.#limit = limit;
    this.#probe = probe;
    this.#before = look() ?? { cpu: 0, isStopped: false };
  }

  /** Null: all is well. Else what it has done instead of answering. */
  look(): string | null {
    if (this.#limit === 0) return null;
    const now = this.#look();
    if (now === null) return null;
    const used = now.cpu - this.#before.cpu;
    this.#before = now;
    if (this.#silence === null) {
      // What is idle need not be asked.
      if (used > TICK / 20) this.#ask();
      return null;
    }
    const { since } = this.#silence;
    const cpu = (this.#silence.cpu += used);
    const seconds = (performance.now() - since) / 1000;
    // A process that hardly computes is not in a loop: the machine is too busy to run it, or to
    // read its answer.
    const isAtWork = cpu >= this.#limit * 1000 * LEAST_SHARE;
    const patience = this.#limit * (isAtWork ? PATIENCE : LONGEST_PATIENCE);
    if (cpu < this.#limit * 1000 && seconds < patience) return null;
    return `it answered nothing for ${seconds.toFixed(1)} s, and computed for ${(cpu / 1000).toFixed(1)} s of them`;
  }

  #ask(): void {
    const silence = { since: performance.now(), cpu: 0 };
    this.#silence = silence;
    const ask = (): void => {
      void this.#probe().then(
        () => (this.#silence = null),
        () => {
          if (this.#look() !== null && this.#silence === silence) setTimeout(ask, TICK).unref();
        },
      );
    };
    ask();
  }
}

/** On a machine that is busy with others, a process that loops gets only a part of a core. */
const PATIENCE = 3;
/** Of the limit: what a loop gets of a core in that time, and a Worker that waits for its turn does not. */
const LEAST_SHARE = 0.2;
const LONGEST_PATIENCE = 30;

interface Look {
  /** ms of CPU time, ever */
  readonly cpu: number;
  /** By a signal. */
  readonly isStopped: boolean;
}

/** Null: there is no such process, or no way to look. */
function lookAt(pid: number): Look | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    // The kernel counts in hundredths of a second, on every architecture that Node runs on.
    const cpu = (Number(fields[11]) + Number(fields[12])) * 10;
    return fields[0] === "Z" ? null : { cpu, isStopped: fields[0] === "T" };
  } catch {
    return null;
  }
}
