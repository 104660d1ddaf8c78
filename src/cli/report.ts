import { Failure, type FailureCode } from "../failures/failures.ts";
import { diskFailure } from "../failures/of-storage.ts";
import { colorsFor, writeJson, writeLine, type Io } from "../terminal/io.ts";

/** What each exit status means. `docs/cli.md` has the same list. */
export const exitStatus = {
  success: 0,
  failed: 1,
  usage: 2,
  unreachable: 3,
  busy: 4,
} as const;

/** Ends a command with a status, after the command has printed everything itself. */
export class Exit extends Error {
  override readonly name = "Exit";
  readonly status: number;

  constructor(status: number) {
    super(`exit status ${status}`);
    this.status = status;
  }
}

const statusOf: Partial<Record<FailureCode, number>> = {
  platform_not_running: exitStatus.unreachable,
  platform_not_answering: exitStatus.unreachable,
  data_folder_in_use: exitStatus.busy,
  usage: exitStatus.usage,
  sidecar_option_malformed: exitStatus.usage,
  confirmation_needed: exitStatus.usage,
};

/** Prints a failure, for a person or as `{"error": …}` for a program. Returns the exit status. */
export function reportFailure(io: Io, error: unknown, json: boolean): number {
  const failure =
    error instanceof Failure
      ? error
      : (diskFailure(error, "the command failed") ??
        new Failure("internal", { cause: error, message: text(error) }));
  if (json) {
    const { code, message, fix, facts } = failure;
    writeJson(io.stdout, { error: { code, message, fix, ...facts } });
  } else {
    const colors = colorsFor(io, io.stderr);
    writeLine(io.stderr, `${colors.red("✘")} ${failure.message}`);
    writeLine(io.stderr, `  ${colors.dim("why")}   ${failure.entry.cause}`);
    writeLine(io.stderr, `  ${colors.dim("do")}    ${failure.fix}`);
    writeLine(io.stderr, `  ${colors.dim("code")}  ${failure.code}`);
  }
  return statusOf[failure.code] ?? exitStatus.failed;
}

function text(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
