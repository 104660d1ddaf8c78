import { spawn, type ChildProcess, type SpawnOptions } from "node:child_process";
import { Failure } from "../failures/failures.ts";

export interface Spawned {
  readonly child: ChildProcess;
  readonly pid: number;
  /** Resolves with how it ended: `killed by SIGKILL`. Never rejects. */
  readonly ended: Promise<string>;
}

/**
 * Starts a program. Listeners are attached before anything can throw, because an `error` event
 * without a listener would end this process.
 * @throws Failure `process_not_started`: the machine has no room for it, or there is no such
 * program
 */
export async function spawnProcess(
  file: string,
  args: readonly string[],
  options: SpawnOptions,
): Promise<Spawned> {
  let child: ChildProcess;
  try {
    child = spawn(file, args, options);
  } catch (error) {
    throw notStarted(file, error);
  }
  const failed = new Promise<Error>((resolve) => child.on("error", resolve));
  // A pipe that breaks is told by the end of the process.
  for (const stream of child.stdio ?? []) stream?.on("error", () => {});
  const ended = new Promise<string>((resolve) => {
    child.once("exit", (status, signal) => {
      const how = signal === null ? `exited with status ${status}` : `killed by ${signal}`;
      // What it wrote last is read first. A process that it started may hold its streams open.
      const timer = setTimeout(resolve, LAST_WORDS, how);
      child.once("close", () => {
        clearTimeout(timer);
        resolve(how);
      });
    });
  });
  const { pid } = child;
  if (pid === undefined) throw notStarted(file, await failed);
  return { child, pid, ended };
}

/** ms */
const LAST_WORDS = 1_000;

function notStarted(file: string, cause: unknown): Failure {
  const { code, message } = cause as NodeJS.ErrnoException;
  return new Failure("process_not_started", {
    message: `the operating system did not start "${file}": ${code ?? message}`,
    cause,
    facts: { program: file, reason: code ?? message },
  });
}
