import type { Command } from "commander";
import { Failure } from "../failures/failures.ts";
import type { PlatformOptions } from "../platform/platform-options.ts";
import { processes, numberWithin } from "./start-numbers.ts";

/** How many processes connect to origins, and what their connections may do. */
export interface GatewayProcessOptions {
  readonly gatewayProcesses: string;
  readonly connectionLife: string;
  readonly connectLimit: string;
  readonly connectIdle: string;
}

export function addGatewayOptions(command: Command): Command {
  return command
    .option(
      "--gateway-processes <n>",
      "how many processes connect to origins, or auto: one for each core",
      "1",
    )
    .option(
      "--connection-life <s>",
      "seconds after which a busy connection to an origin is replaced, and its name looked up again",
      "600",
    )
    .option(
      "--connect-limit <n>",
      "connections that a Worker has open by a binding's connect() at once",
      "512",
    )
    .option(
      "--connect-idle <s>",
      "seconds that a connection by connect(), or a session with a database, may carry nothing",
      "600",
    );
}

/** @throws Failure `usage` */
export function gatewayOptions(
  options: GatewayProcessOptions,
): Pick<PlatformOptions, "gatewayProcesses" | "connectionLife" | "connect"> {
  const gatewayProcesses = processes(
    "--gateway-processes",
    options.gatewayProcesses,
    MOST_PROCESSES,
  );
  const most = numberWithin("--connect-limit", options.connectLimit, [1, 100_000]);
  if (most < gatewayProcesses) {
    throw new Failure("usage", {
      message: `--connect-limit ${most} cannot be shared out among ${gatewayProcesses} gateway processes: each has to have one`,
    });
  }
  return {
    gatewayProcesses,
    connectionLife: numberWithin("--connection-life", options.connectionLife, [1, 86_400]),
    connect: { most, idle: numberWithin("--connect-idle", options.connectIdle, [1, 86_400]) },
  };
}

/** A gateway takes 90 MB, and each process gets a share of every limit of connections. */
const MOST_PROCESSES = 32;
