import { Command } from "commander";
import { addDevCommand } from "../../src/cli/dev.ts";
import { addInitCommand } from "../../src/cli/init.ts";
import type { Io } from "../../src/cli/io.ts";
import { Failure } from "../../src/failures.ts";

/** The commands of local development, as a program. */
const io: Io = {
  stdout: process.stdout,
  stderr: process.stderr,
  env: process.env,
  cwd: process.cwd(),
};
const program = new Command("countersign");
addDevCommand(program, io);
addInitCommand(program, io);
try {
  await program.parseAsync();
} catch (error) {
  if (!(error instanceof Failure)) {
    throw error;
  }
  console.error(`✘ ${error.message}\n  do ${error.fix}\n  code ${error.code}`);
  process.exitCode = 1;
}
