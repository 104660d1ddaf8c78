import type { Command } from "commander";
import type { PlatformOptions } from "../platform/platform.ts";
import { limit, within } from "./start-numbers.ts";

/** What each Worker may take, and how long it may go on when it is replaced. */
export interface WorkerShareOptions {
  readonly workerRequests: string;
  readonly workerBody: string;
  readonly workerStart: string;
  readonly drain: string;
}

export function addWorkerShares(command: Command): Command {
  return command
    .option(
      "--worker-requests <n>",
      "requests and WebSockets that one Worker works on at once; 0: no limit",
      "10000",
    )
    .option("--worker-body <mib>", "the largest body of a request to a Worker; 0: no limit", "0")
    .option("--worker-start <s>", "how long a Worker may take to start", "15")
    .option(
      "--drain <s>",
      "how long requests and WebSockets go on with a version that was replaced",
      "30",
    );
}

/** @throws Failure `usage` */
export function workerShares(options: WorkerShareOptions): PlatformOptions["workerShares"] {
  const mebibytes = limit("--worker-body", options.workerBody, [1, 1_048_576]);
  return {
    requests: limit("--worker-requests", options.workerRequests, [1, 1_000_000]),
    body: mebibytes * 1024 * 1024,
    startTimeout: within("--worker-start", options.workerStart, [1, 600]) * 1000,
    drain: within("--drain", options.drain, [1, 86_400]) * 1000,
  };
}
