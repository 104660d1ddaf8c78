import { spawn, type ChildProcess } from "node:child_process";
import { constants } from "node:os";
import type { Readable, Writable } from "node:stream";
import { FILTER_FD, INFO_FD, type Launch } from "./sandbox-kinds.ts";

export interface EnteredProcess {
  readonly child: ChildProcess;
  /** The id of the program itself. Null: it could not be started. */
  readonly pid: Promise<number | null>;
}

export interface EnterWith {
  readonly args: readonly string[];
  /** All of the program's environment. */
  readonly env: Readonly<Record<string, string>>;
  /** Whether something is written to its standard input. */
  readonly input: boolean;
}

/** Starts a program in its sandbox. Descriptor 3 is a pipe that it may write to. */
export function enter(launch: Launch, { args, env, input }: EnterWith): EnteredProcess {
  const { file, cwd, filter, tellsPid } = launch;
  const child = spawn(file, [...launch.args, ...args], {
    cwd,
    env,
    stdio: [
      input ? "pipe" : "ignore",
      "pipe",
      "pipe",
      "pipe",
      tellsPid ? "pipe" : "ignore",
      filter === null ? "ignore" : "pipe",
    ],
    // A group of its own: Ctrl-C in a terminal reaches the supervisor alone, which then drains.
    detached: true,
  });
  const stdio: readonly unknown[] = child.stdio;
  if (filter !== null) (stdio[FILTER_FD] as Writable).on("error", () => {}).end(filter);
  const own = child.pid ?? null;
  if (!tellsPid || own === null) return { child, pid: Promise.resolve(own) };
  return { child, pid: told(child, stdio[INFO_FD] as Readable) };
}

/** Of what `bwrap --info-fd` writes. */
function told(child: ChildProcess, info: Readable): Promise<number | null> {
  return new Promise((resolve) => {
    let text = "";
    const read = (): void => {
      const pid = /"child-pid":\s*(\d+)\D/.exec(text)?.[1];
      if (pid !== undefined) resolve(Number(pid));
    };
    info
      .setEncoding("utf8")
      .on("data", (chunk: string) => {
        text += chunk;
        read();
      })
      .on("error", () => {});
    child.once("close", () => resolve(null));
    child.once("error", () => resolve(null));
  });
}

/** How a process ended, in a few words. A sandbox hands a signal on as a status over 128. */
export function wayOfEnding(
  { tellsPid }: Launch,
  status: number | null,
  signal: NodeJS.Signals | null,
): string {
  if (signal !== null) return `killed by ${signal}`;
  const handedOn = tellsPid && status !== null && status > 128 ? signalName(status - 128) : null;
  return handedOn === null ? `exited with status ${status}` : `killed by ${handedOn}`;
}

function signalName(number: number): string | null {
  return Object.entries(constants.signals).find(([, value]) => value === number)?.[0] ?? null;
}
