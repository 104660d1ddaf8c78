import type { Command } from "commander";
import { colorsFor, writeJson, writeLine, type Io } from "../../terminal/io.ts";
import { apiClient } from "../client/api-client.ts";
import { dataOption } from "../data-option.ts";
import { Exit, exitStatus } from "../report.ts";

interface Options {
  readonly data?: string;
  readonly json?: true;
}

interface Schedule {
  readonly cron: string;
  readonly created_on: string;
}

interface Ran {
  readonly cron: string;
  readonly outcome: string;
}

export function addCronCommand(program: Command, io: Io): void {
  const group = program.command("cron");
  group
    .command("list")
    .description("the cron triggers of a Worker")
    .argument("<worker>", "its name")
    .option(...dataOption)
    .option("--json", "one JSON object")
    .action(async (worker: string, options: Options) => {
      const api = await apiClient(io, options);
      const path = `/workers/scripts/${encodeURIComponent(worker)}/schedules`;
      const { result } = await api.call<{ schedules: readonly Schedule[] }>("GET", path);
      if (options.json) return writeJson(io.stdout, result);
      if (result.schedules.length === 0) writeLine(io.stderr, `${worker} has no cron triggers`);
      for (const { cron } of result.schedules) writeLine(io.stdout, cron);
    });
  group
    .command("run")
    .description("call a Worker's scheduled() handler now, as a cron trigger of it does")
    .argument("<worker>", "its name")
    .option("--cron <expression>", "which of its triggers; needed where it has more than one")
    .option(...dataOption)
    .option("--json", "one JSON object")
    .addHelpText(
      "after",
      `
Triggers are set by \`triggers.crons\` in the Wrangler configuration. They are in UTC, and run by themselves while the
platform does. The command waits until the handler has returned, and ends with 1 where it threw.

Examples:
  $ countersign cron run reports
  $ countersign cron run reports --cron "0 6 * * MON-FRI"
  $ countersign logs reports`,
    )
    .action(async (worker: string, options: Options & { readonly cron?: string }) => {
      const api = await apiClient(io, options);
      const path = `/countersign/scripts/${encodeURIComponent(worker)}/cron`;
      const { cron } = options;
      const { result } = await api.call<Ran>("POST", path, cron === undefined ? {} : { cron });
      const isOk = result.outcome === "ok";
      if (options.json) writeJson(io.stdout, result);
      else {
        const colors = colorsFor(io, io.stdout);
        const mark = isOk ? colors.green("✔") : colors.red("✘");
        writeLine(io.stdout, `${mark} ${worker}  ${result.cron}  ${result.outcome}`);
      }
      if (!isOk) throw new Exit(exitStatus.failed);
    });
}
