import type { ChildProcess } from "node:child_process";
import { createRequire } from "node:module";
import type { Readable } from "node:stream";
import { onLines } from "../../process/lines.ts";
import { enter } from "../../process/walls/enter.ts";
import type { SecretEnvironment } from "../../process/secret-environment.ts";
import type { Run } from "../../process/kept.ts";
import type { ProcessRecords } from "../../process/orphans.ts";
import {
  LISTENER_FD,
  type Mount,
  type Sandbox,
  type SandboxMode,
} from "../../process/walls/sandbox-kinds.ts";
import { OWN_PORT } from "../config/workerd-config.ts";
import { findSandbox } from "../../process/walls/sandbox.ts";
import { OUT_OF_MEMORY } from "./worker-limits.ts";

/**
 * One workerd that listens on all of its sockets. On SIGTERM it accepts nothing new and ends after
 * its last request.
 */
export type WorkerdProcess = Run;

export interface WorkerdOptions {
  /** From `workerdSandbox`. */
  readonly sandbox: Sandbox;
  /** All that it sees, but for `mounts`. An absolute path. */
  readonly folder: string;
  readonly mounts?: readonly Mount[];
  /** Whether it has what workerd calls experimental: modules of its own, assets, events of queues. */
  readonly experimental?: boolean;
  /** Relative to the folder. */
  readonly config: string;
  /** The configuration, encoded: read instead of the file, and emptied. Null: the file is read. */
  readonly input: Buffer | null;
  /** All of the process's environment: secrets, and nothing of ours. They are wiped. */
  readonly environment: SecretEnvironment;
  /** A listening socket for the socket `OWN_PORT` of the configuration. */
  readonly listener?: number;
  /** How many sockets it has to listen on before it counts as started. */
  readonly sockets: number;
  /** ms from the start to the last socket. */
  readonly timeout: number;
  /** Ends a process that does not listen yet. */
  readonly signal: AbortSignal;
  readonly processes: ProcessRecords;
  log(line: WorkerdLine): void;
}

export interface WorkerdLine {
  /** Of `console`: `debug`, `log`, `info`, `warn`, `error`. */
  readonly level: string;
  readonly message: string;
  /** What the runtime says, not the Worker. */
  readonly fromRuntime: boolean;
}

/** workerd ended, or was stopped, before it listened. */
export class WorkerdStartError extends Error {
  override readonly name = "WorkerdStartError";
  readonly reason: "exited" | "timeout";
  /** What the runtime said on its way out, in order. */
  readonly lines: readonly string[];

  constructor(reason: "exited" | "timeout", message: string, lines: readonly string[]) {
    super(message);
    this.reason = reason;
    this.lines = lines;
  }
}

/**
 * How workerd is kept apart from everything else on this machine. In all kinds but the last the
 * kernel kills workerd when this process dies, so that not even `kill -9` leaves one behind;
 * without, the next start ends it.
 */
export async function workerdSandbox(
  mode: SandboxMode = "auto",
  { workerdPath, top }: { readonly workerdPath?: string; readonly top?: string } = {},
): Promise<Sandbox> {
  return findSandbox(workerdPath ?? bundledWorkerd(), mode, top);
}

/** @throws WorkerdStartError; Failure `process_not_started` */
export async function startWorkerd(options: WorkerdOptions): Promise<WorkerdProcess> {
  const { input, listener } = options;
  const from = input === null ? [options.config] : ["--binary", "-"];
  const more = options.experimental === true ? ["--experimental"] : [];
  const own = listener === undefined ? [] : [`--socket-fd=${OWN_PORT}=${LISTENER_FD}`];
  const spawned = await enter(options.sandbox.enter(options.folder, options.mounts), {
    args: ["serve", ...from, "--control-fd=3", ...more, ...own],
    env: {},
    secrets: options.environment,
    input: input !== null,
    ...(listener !== undefined && { listener }),
  });
  const { child, pid } = spawned;
  // It may end before it has read all.
  child.stdin?.on("error", () => {}).end(input ?? "", () => input?.fill(0));
  const last: string[] = [];
  let memory: string | null = null;
  for (const stream of [child.stdout!, child.stderr!]) {
    onLines(stream, (text) => {
      const line = parseLine(text);
      if (line.fromRuntime && OUT_OF_MEMORY.test(line.message)) memory = line.message;
      if (line.fromRuntime && line.level === "error") {
        last.push(line.message);
        if (last.length > LAST_LINES) last.shift();
      }
      options.log(line);
    });
  }
  const ended = spawned.ended.then((how) => {
    // What it died of comes first; where it was then, in more lines than are kept. Who kills it has
    // other reasons than what it once said of memory.
    const words = how === "killed by SIGKILL" ? last.at(-1) : (memory ?? last.at(-1));
    return words === undefined ? how : `${how}: ${words}`;
  });
  await options.processes.add(pid).catch(() => {});
  void ended.then(() => options.processes.remove(pid));
  const givenUp = Promise.withResolvers<WorkerdStartError>();
  const giveUp = (): void => {
    const message = `it did not listen after ${options.timeout} ms`;
    givenUp.resolve(new WorkerdStartError("timeout", message, last));
  };
  const timer = setTimeout(giveUp, options.timeout);
  options.signal.addEventListener("abort", giveUp);
  if (options.signal.aborted) giveUp();
  const outcome = await Promise.race([
    listening(child.stdio[3] as Readable, options.sockets),
    ended.then((reason) => new WorkerdStartError("exited", reason, last)),
    givenUp.promise,
  ]);
  clearTimeout(timer);
  options.signal.removeEventListener("abort", giveUp);
  if (outcome instanceof Error) {
    await stop({ child, pid, ended }, 0);
    throw outcome;
  }
  return { pid, ended, stop: (grace) => stop({ child, pid, ended }, grace) };
}

const LAST_LINES = 8;

interface Running {
  readonly child: ChildProcess;
  readonly pid: number;
  readonly ended: Promise<string>;
}

async function stop({ child, pid, ended }: Running, grace: number): Promise<void> {
  // To the process, not to the sandbox around it: that one ends after it, so both are gone then.
  const send = (name: NodeJS.Signals): void => {
    if (child.exitCode === null && child.signalCode === null) signal(pid, name);
  };
  send(grace > 0 ? "SIGTERM" : "SIGKILL");
  const timer = setTimeout(() => send("SIGKILL"), grace);
  await ended;
  clearTimeout(timer);
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch {
    // It has just ended.
  }
}

function listening(control: Readable, sockets: number): Promise<null> {
  return new Promise((resolve) => {
    let count = 0;
    onLines(control, (line) => {
      if (isListening(line) && ++count === sockets) resolve(null);
    });
  });
}

/** A hostile program in workerd's place may write anything. */
function isListening(line: string): boolean {
  try {
    return (JSON.parse(line) as { event?: unknown } | null)?.event === "listen";
  } catch {
    return false;
  }
}

/** workerd writes a line of JSON for each message; its own name the source file. */
function parseLine(text: string): WorkerdLine {
  try {
    const { level, message, source } = JSON.parse(text) as Record<string, unknown>;
    if (typeof level === "string" && typeof message === "string") {
      return { level, message, fromRuntime: source !== undefined };
    }
  } catch {
    // Not JSON: a crash report, or what a Worker wrote to `process.stdout`.
  }
  const fromWorker = text.startsWith("stdout: ") || text.startsWith("stderr: ");
  return { level: fromWorker ? "log" : "error", message: text, fromRuntime: !fromWorker };
}

function bundledWorkerd(): string {
  const { default: path } = createRequire(import.meta.url)("workerd") as { default: string };
  return path;
}
