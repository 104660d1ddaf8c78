import type { Command } from "commander";
import { setTimeout as wait } from "node:timers/promises";
import type { KeysStatus } from "../../platform/master-key-change.ts";
import { readGivenKey } from "../../keys/master-key.ts";
import { confirm, yesOption } from "../confirm.ts";
import { dataOption } from "../data-option.ts";
import { colorsFor, writeJson, writeLine, type Io } from "../../terminal/io.ts";
import { ownersPlatform } from "../client/access.ts";
import type { PlatformClient } from "../client/platform-client.ts";
import { Exit, exitStatus } from "../report.ts";

export function addKeysCommand(program: Command, io: Io): void {
  const keys = program.command("keys");
  keys
    .command("status")
    .description("which master key is in use, and whether a change of it is under way")
    .option(...dataOption)
    .option("--json", "one JSON object")
    .action(async (options: KeysOptions) => {
      print(io, await (await ownersPlatform(io, options)).keys(), options);
    });
  keys
    .command("rotate")
    .description("wrap every sealed record with another master key, while the platform runs")
    .option(...dataOption)
    .option("--new-key-file <file>", "the file that holds the new key")
    .option("--new-key-command <command>", "the shell command that prints the new key")
    .option("--abandon-damaged", "end a change though some records do not open any more")
    .option(...yesOption)
    .option("--json", "one JSON object")
    .addHelpText(
      "after",
      `
Where the key is the file master.key of the data folder, a new one is made and put in its place. Where it
comes from elsewhere (COUNTERSIGN_MASTER_KEY, …_FILE, …_COMMAND), give the new one here, and put it there:
the next start needs it. Whatever is interrupted goes on at that start. No request is lost, and no private
key is opened: only the data key of each record is wrapped again.

Examples:
  $ countersign keys rotate
  $ openssl rand -base64 32 > new.key && countersign keys rotate --new-key-file new.key
  $ countersign keys rotate --new-key-command 'vault kv get -field=key secret/countersign'`,
    )
    .action(async (options: RotateOptions) => {
      if (options.abandonDamaged) {
        await confirm(io, options, "This gives up for good what does not open: keys and secrets");
      }
      const platform = await ownersPlatform(io, options);
      const status = await rotate(platform, options);
      print(io, status, options);
      const given = options.newKeyFile !== undefined || options.newKeyCommand !== undefined;
      if (given && !status.fromFolder) {
        const colors = colorsFor(io, io.stderr);
        writeLine(
          io.stderr,
          `${colors.yellow("!")} the next start needs the new key, from ${status.from}`,
        );
      }
      if (status.change) throw new Exit(exitStatus.failed);
    });
}

interface KeysOptions {
  readonly data?: string;
  readonly json?: true;
}

interface RotateOptions extends KeysOptions {
  readonly newKeyFile?: string;
  readonly newKeyCommand?: string;
  readonly abandonDamaged?: true;
  readonly yes?: true;
}

async function rotate(platform: PlatformClient, options: RotateOptions): Promise<KeysStatus> {
  if (options.abandonDamaged) return platform.abandonDamaged();
  const given = await readGivenKey({ file: options.newKeyFile, command: options.newKeyCommand });
  let status = await platform.changeMasterKey(given?.key.toString("base64"));
  while (status.change && status.change.damaged.length === 0) {
    await wait(100);
    status = await platform.keys();
  }
  return status;
}

function print(io: Io, status: KeysStatus, options: KeysOptions): void {
  const { masterKeyId, from, change } = status;
  if (options.json) return writeJson(io.stdout, status);
  const colors = colorsFor(io, io.stdout);
  writeLine(io.stdout, `${colors.green("✔")} master key ${masterKeyId}, from ${from}`);
  if (!change) return writeLine(io.stdout, `  every record is sealed with it`);
  writeLine(
    io.stdout,
    `${colors.yellow("!")} the change from ${change.before}, begun on ${change.begunOn}, has not ended: ${change.rewrapped} records wrapped again`,
  );
  for (const message of change.damaged) writeLine(io.stdout, `${colors.red("✘")} ${message}`);
  if (change.damaged.length > 0) {
    writeLine(io.stdout, "  Upload these again, or end the change with --abandon-damaged");
  }
}
