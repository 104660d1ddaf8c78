import type { ScriptKey, WorkerVersion } from "../../contract/change-feed.ts";
import type { LogEntry, Observability, WorkerEvent } from "../../contract/worker-log.ts";
import { cpuTime } from "../cpu-time.ts";
import { mapped, type ReadSourceMap } from "../generation/mapped-stack.ts";
import type { MappingTime } from "./mapping-time.ts";
import type { Trace } from "./traces.ts";

export interface WorkerLogOptions {
  readonly version: Pick<WorkerVersion, "accountId" | "scriptName" | "versionId"> & {
    readonly observability?: Observability | undefined;
  };
  /** Calls are told of. False: only what stands on the process's output. */
  readonly isTraced: boolean;
  /** Of the calls that are told of, 0 to 1. */
  readonly keptShare: number;
  readonly tell: (event: WorkerEvent) => void;
  readonly timings: Timings;
  readonly mapping: MappingTime;
  readonly readSourceMap: ReadSourceMap;
}

/** The output of one process of a Worker, on its way to the log. */
export class WorkerLog {
  readonly #options: WorkerLogOptions;
  /** Calls that wait for a moment: the ingress tells how long they took, and so does the kernel. */
  #held: Trace[] = [];
  #dropped = 0;
  #lines = LINES;
  #filledAt = performance.now();
  readonly #stacks = new Map<string, string>();
  #pid: number | null = null;
  #cpu = 0;

  constructor(options: WorkerLogOptions) {
    this.#options = options;
  }

  /** Another process runs from now on. */
  started(pid: number): void {
    this.#pid = pid;
    this.#cpu = cpuTime(pid) ?? 0;
  }

  call(trace: Trace): void {
    if (!this.#take()) return;
    if (this.#held.push(trace) === 1) setTimeout(() => void this.#release(), HELD).unref();
  }

  /** What stands on its output. Where calls are told of, that comes with them. */
  line(level: string, message: string): void {
    if (this.#options.isTraced || !this.#take()) return;
    this.#tell({
      ...this.#blank(Date.now()),
      kind: "console",
      logs: [{ level, message: [message], timestamp: Date.now() }],
    });
  }

  /** It ended, or does not start. */
  ended(reason: string, code: string): void {
    const now = Date.now();
    const outcome = /memory limit/.test(reason)
      ? "exceededMemory"
      : /CPU limit/.test(reason)
        ? "exceededCpu"
        : "unknown";
    this.#tell({
      ...this.#blank(now),
      kind: "failure",
      code,
      outcome,
      logs: [{ level: "error", message: [reason], timestamp: now }],
    });
  }

  async #release(): Promise<void> {
    const calls = this.#held;
    this.#held = [];
    const each = this.#cpuSince() / calls.length;
    for (const call of calls) {
      const { ray, entrypoint } = call;
      const wallTime = ray === null ? 0 : this.#options.timings.take(this.#options.version, ray);
      const exceptions: Trace["exceptions"][number][] = [];
      for (const one of call.exceptions) {
        const { stack } = one;
        exceptions.push(stack === undefined ? one : { ...one, stack: await this.#mapped(stack) });
      }
      this.#tell({
        ...this.#blank(call.eventTimestamp),
        ...call,
        ...(entrypoint !== undefined && { entrypoint }),
        kind: "invocation",
        exceptions,
        wallTime: Math.round(wallTime),
        cpuTime: Math.round(each * 1000) / 1000,
      });
    }
    if (this.#dropped === 0) return;
    const message = `${this.#dropped} entries were left out: one process writes ${LINES} a second at most`;
    this.#dropped = 0;
    this.#tell({
      ...this.#blank(Date.now()),
      kind: "console",
      logs: [{ level: "warn", message: [message], timestamp: Date.now() }],
    });
  }

  /** A Worker throws the same again and again: its map is read once. */
  async #mapped(stack: string): Promise<string> {
    const known = this.#stacks.get(stack);
    if (known !== undefined) return known;
    const { mapping, readSourceMap, version } = this.#options;
    const found = await mapping
      .within(`${version.accountId} ${version.scriptName}`, () => mapped(stack, readSourceMap))
      .catch(() => stack);
    if (found === null) return stack;
    if (this.#stacks.size >= MOST_STACKS) this.#stacks.clear();
    this.#stacks.set(stack, found);
    return found;
  }

  #cpuSince(): number {
    const now = this.#pid === null ? null : cpuTime(this.#pid);
    if (now === null) return 0;
    const used = Math.max(now - this.#cpu, 0);
    this.#cpu = now;
    return used;
  }

  #tell(entry: LogEntry): void {
    const { keptShare, tell, version } = this.#options;
    const { accountId, scriptName, observability } = version;
    const isChosen = entry.kind !== "invocation" || keptShare >= 1 || Math.random() < keptShare;
    tell({ accountId, scriptName, entry, isKept: isChosen && isKept(entry, observability) });
  }

  #blank(eventTimestamp: number): Omit<LogEntry, "kind"> {
    const { scriptName, versionId } = this.#options.version;
    return blankEntry({ scriptName, versionId, eventTimestamp });
  }

  /**
   * A Worker that logs in a loop must not use up the platform's time: lines beyond its share are
   * left out.
   */
  #take(): boolean {
    const now = performance.now();
    this.#lines = Math.min(LINES, this.#lines + ((now - this.#filledAt) / 1000) * LINES);
    this.#filledAt = now;
    if (this.#lines < 1) {
      this.#dropped += 1;
      return false;
    }
    this.#lines -= 1;
    return true;
  }
}

export function blankEntry(of: {
  readonly scriptName: string;
  readonly versionId: string | null;
  readonly eventTimestamp: number;
}): Omit<LogEntry, "kind"> {
  const { scriptName, versionId, eventTimestamp } = of;
  return {
    scriptName,
    scriptVersion: versionId === null ? null : { id: versionId },
    ray: null,
    outcome: "unknown",
    eventTimestamp,
    event: null,
    logs: [],
    exceptions: [],
    diagnosticsChannelEvents: [],
    truncated: false,
    wallTime: 0,
    cpuTime: 0,
  };
}

/** How long the ingress says that a request took, until its call is told of. */
export class Timings {
  readonly #times = new Map<string, number>();

  set({ accountId, scriptName }: ScriptKey, ray: string, ms: number): void {
    this.#times.set(`${accountId} ${scriptName} ${ray}`, ms);
    for (const oldest of this.#times.keys()) {
      if (this.#times.size <= MOST_TIMES) break;
      this.#times.delete(oldest);
    }
  }

  /** 0: it did not say. */
  take({ accountId, scriptName }: ScriptKey, ray: string): number {
    const key = `${accountId} ${scriptName} ${ray}`;
    const ms = this.#times.get(key) ?? 0;
    this.#times.delete(key);
    return ms;
  }
}

function isKept(entry: LogEntry, observability: Observability | undefined): boolean {
  if (entry.kind !== "invocation") return true;
  if (observability === undefined) return false;
  if (observability.everyCall) return true;
  return entry.logs.length > 0 || entry.exceptions.length > 0 || entry.outcome !== "ok";
}

/** ms */
const HELD = 300;
/** A second, of one process. */
const LINES = 1_000;
const MOST_TIMES = 20_000;
const MOST_STACKS = 50;
