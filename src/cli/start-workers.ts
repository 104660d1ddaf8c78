import type { Command } from "commander";
import type { PlatformOptions } from "../platform/platform-options.ts";
import { Failure } from "../failures/failures.ts";
import { limit, numberWithin } from "./start-numbers.ts";

/** What each Worker may use, and how long it may go on after it was replaced. */
export interface WorkerShareOptions {
  readonly workerRequests: string;
  readonly workerBody: string;
  readonly workerStart: string;
  readonly drain: string;
  readonly idleAfter?: string;
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
      "how long a replaced version may finish its requests and WebSockets",
      "30",
    )
    .option(
      "--idle-after <duration>",
      "stop a Worker that has had no request for this time (15m, 1h; at least 1m), and start it with the next; default: never",
    );
}

/** @throws Failure `usage` */
export function workerShares(options: WorkerShareOptions): PlatformOptions["workerShares"] {
  const mebibytes = limit("--worker-body", options.workerBody, [1, 1_048_576]);
  return {
    requests: limit("--worker-requests", options.workerRequests, [1, 1_000_000]),
    body: mebibytes * 1024 * 1024,
    startTimeout: numberWithin("--worker-start", options.workerStart, [1, 600]) * 1000,
    drain: numberWithin("--drain", options.drain, [1, 86_400]) * 1000,
    idleAfter: idleAfter(options.idleAfter),
  };
}

/** @throws Failure `usage` */
function idleAfter(text: string | undefined): number | null {
  if (text === undefined) return null;
  const [, count, unit] = /^(\d{1,6})(s|m|h|d)$/.exec(text) ?? [];
  const seconds = Number(count) * (UNITS[unit ?? ""] ?? NaN);
  if (seconds >= 60 && seconds <= 30 * 86_400) return seconds * 1000;
  throw new Failure("usage", {
    message: `--idle-after "${text}" is not a time from 1m to 30d, like 90s, 15m, 1h or 2d`,
  });
}

const UNITS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3_600, d: 86_400 };
