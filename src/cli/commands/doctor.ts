import type { Command } from "commander";
import { masterKeyVariables } from "../../keys/master-key.ts";
import { dataFolderOf, dataOption } from "../data-option.ts";
import { colorsFor, withProgress, writeJson, writeLine, type Io } from "../../terminal/io.ts";
import type { Check } from "../check.ts";
import { Exit, exitStatus } from "../report.ts";

export function addDoctorCommand(program: Command, io: Io): void {
  program
    .command("doctor")
    .option(...dataOption)
    .option("--api-port <n>", "the port to look at where no platform runs", "4400")
    .option("--http-port <n>", "the port to look at where no platform runs", "4480")
    .option("--json", "one JSON object")
    .addHelpText(
      "after",
      `
Looks at Node, workerd, the data folder, the master key, the ports, the clock, the processes, and the
certificates that expire. Exit status: 0 nothing is wrong (warnings may be), 1 something is.

Examples:
  $ countersign doctor
  $ countersign doctor --json | jq '.checks[] | select(.result != "ok")'`,
    )
    .action(async (options: { data?: string; apiPort: string; httpPort: string; json?: true }) => {
      const { runChecks } = await import("../doctor-checks.ts");
      const checks = await withProgress(io, "Looking at this machine", () =>
        runChecks({
          dataFolder: dataFolderOf(io, options.data),
          ports: { api: Number(options.apiPort), http: Number(options.httpPort) },
          masterKey: masterKeyVariables(io.env),
          now: new Date(),
        }),
      );
      const healthy = checks.every((check) => check.result !== "wrong");
      if (options.json) writeJson(io.stdout, { healthy, checks });
      else print(io, checks);
      if (!healthy) throw new Exit(exitStatus.failed);
    });
}

function print(io: Io, checks: readonly Check[]): void {
  const colors = colorsFor(io, io.stdout);
  const mark = {
    ok: colors.green("✔"),
    warning: colors.yellow("!"),
    wrong: colors.red("✘"),
  };
  for (const check of checks) {
    const finding = check.unsafe ? colors.red(check.finding) : check.finding;
    writeLine(io.stdout, `${mark[check.result]} ${check.name.padEnd(14)} ${finding}`);
    if (check.fix) writeLine(io.stdout, `  ${" ".repeat(14)} ${colors.dim(check.fix)}`);
  }
}
