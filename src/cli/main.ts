import { CommanderError } from "commander";
import { Failure } from "../failures/failures.ts";
import type { Io } from "../terminal/io.ts";
import { createProgram } from "./program.ts";
import { Exit, exitStatus, reportFailure } from "./report.ts";

export type { Io } from "../terminal/io.ts";

/**
 * Runs one command line. Never throws and never ends the process; returns the exit status (0 success, 1 failed, 2
 * usage, 3 platform unreachable, 4 data folder in use).
 */
export async function main(argv: readonly string[], io: Io): Promise<number> {
  for (const stream of [io.stdout, io.stderr]) stream.on("error", ignoreClosedPipe);
  try {
    const program = await createProgram(io, argv);
    await program.parseAsync(argv, { from: "user" });
    return exitStatus.success;
  } catch (error) {
    if (error instanceof Exit) return error.status;
    const json = argv.includes("--json");
    if (!(error instanceof CommanderError)) return reportFailure(io, error, json);
    if (error.exitCode === 0) return exitStatus.success;
    // Commander has told a person on stderr.
    if (json) reportFailure(io, misused(error), json);
    return exitStatus.usage;
  }
}

function misused({ code, message }: CommanderError): Failure {
  const isNoCommand = code === "commander.help";
  return new Failure("usage", {
    message: isNoCommand ? "no command is named" : message.replace(/^error: /, ""),
  });
}

/** As in `countersign doctor | head -1`: the reader has closed the pipe. Later output is dropped. */
function ignoreClosedPipe(error: NodeJS.ErrnoException): void {
  if (error.code !== "EPIPE") throw error;
}
