import type { ChildProcess } from "node:child_process";
import { constants } from "node:os";
import type { Readable, Writable } from "node:stream";
import { FILTER_FD, INFO_FD, SECRETS_FD, type Launch } from "./sandbox-kinds.ts";
import { tellSecrets, withSecrets, type SecretEnvironment } from "../secret-environment.ts";
import { spawnProcess, type Spawned } from "../spawned.ts";

export interface EnterWith {
  readonly args: readonly string[];
  /** All of the program's environment. */
  readonly env: Readonly<Record<string, string>>;
  /** More of it, which no string of this process ever holds. Wiped. Default: none. */
  readonly secrets?: SecretEnvironment;
  /** Whether something is written to its standard input. */
  readonly input: boolean;
  /** A listening socket of this process, which the program finds at `LISTENER_FD`. */
  readonly listener?: number;
}

/**
 * Starts a program in its sandbox: `pid` is the program's own, not that of what is around it.
 * Descriptor 3 is a pipe that it may write to.
 * @throws Failure `process_not_started`
 */
export async function enter(
  launch: Launch,
  { args, env, input, listener, secrets = [] }: EnterWith,
): Promise<Spawned> {
  const { cwd, filter, tellsPid } = launch;
  const [file, ...all] = withSecrets(secrets, [launch.file, ...launch.args, ...args]);
  const spawned = await spawnProcess(file, all, {
    cwd,
    env,
    stdio: [
      input ? "pipe" : "ignore",
      "pipe",
      "pipe",
      "pipe",
      tellsPid ? "pipe" : "ignore",
      filter === null ? "ignore" : "pipe",
      listener ?? "ignore",
      secrets.length > 0 ? "pipe" : "ignore",
    ],
    // A group of its own: Ctrl-C in a terminal reaches the supervisor alone, which then drains.
    detached: true,
  });
  const { child } = spawned;
  const stdio: readonly unknown[] = child.stdio;
  if (secrets.length > 0) tellSecrets(stdio[SECRETS_FD] as Writable, secrets);
  if (filter !== null) (stdio[FILTER_FD] as Writable).end(filter);
  if (!tellsPid) return spawned;
  return {
    child,
    pid: (await told(child, stdio[INFO_FD] as Readable)) ?? spawned.pid,
    ended: spawned.ended.then(translated),
  };
}

/** Of what `bwrap --info-fd` writes. Null: it ended first. */
function told(child: ChildProcess, info: Readable): Promise<number | null> {
  return new Promise((resolve) => {
    let text = "";
    info.setEncoding("utf8").on("data", (chunk: string) => {
      text += chunk;
      const pid = /"child-pid":\s*(\d+)\D/.exec(text)?.[1];
      if (pid !== undefined) resolve(Number(pid));
    });
    child.once("exit", () => resolve(null));
  });
}

/** What is around the program ends with a status over 128 when a signal ended the program. */
function translated(how: string): string {
  const status = Number(/^exited with status (\d+)$/.exec(how)?.[1] ?? 0);
  const signal = Object.entries(constants.signals).find(([, number]) => number === status - 128);
  return signal === undefined ? how : `killed by ${signal[0]}`;
}
