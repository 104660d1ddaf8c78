import type { Command } from "commander";
import { resolve } from "node:path";
import { formatSize } from "../../terminal/format.ts";
import type { BackupFacts } from "../../platform/backup/backup.ts";
import { masterKeyVariables } from "../../keys/master-key.ts";
import { dataFolderOf, dataOption } from "../data-option.ts";
import { colorsFor, withProgress, writeJson, writeLine, type Io } from "../../terminal/io.ts";

interface BackupOptions {
  readonly data?: string;
  readonly force?: true;
  readonly json?: true;
}

export function addBackupCommand(program: Command, io: Io): void {
  program
    .command("backup")
    .argument("<file>", "the file to write; readable by its owner only")
    .option(...dataOption)
    .option("--force", "replace the file if it is there")
    .option("--json", "one JSON object")
    .addHelpText(
      "after",
      `
The file is one moment of the platform: accounts, certificates with every version, Workers, routes, tokens
(hashed), and what Workers keep: KV, D1, R2, each database at a moment of its own. Private keys and secrets are in it sealed, and the master key is not: keep that elsewhere.

Examples:
  $ countersign backup /backup/countersign-$(date +%F).db
  $ countersign backup copy.db --json | jq -r .master_key_id`,
    )
    .action(async (file: string, options: BackupOptions) => {
      const { backUp } = await import("../../platform/backup/backup.ts");
      const facts = await withProgress(io, "Writing the backup", async () =>
        backUp({
          dataFolder: dataFolderOf(io, options.data),
          file: resolve(io.cwd, file),
          force: options.force === true,
        }),
      );
      if (options.json) return writeJson(io.stdout, facts);
      const colors = colorsFor(io, io.stdout);
      writeLine(io.stdout, `${colors.green("✔")} ${facts.file}, ${describe(facts)}`);
      writeLine(io.stdout, `  opens with master key ${facts.masterKeyId}, which is not in it`);
    });
}

export function addRestoreCommand(program: Command, io: Io): void {
  program
    .command("restore")
    .argument("<file>", "a file that `countersign backup` wrote")
    .option(...dataOption)
    .option("--force", "into a folder that holds a platform: its database is kept beside")
    .option("--json", "one JSON object")
    .addHelpText(
      "after",
      `
Nothing is changed unless the backup is whole, and the master key, if one is at hand, opens it.

Examples:
  $ countersign restore copy.db --data ./restored
  $ countersign restore copy.db --force`,
    )
    .action(async (file: string, options: BackupOptions) => {
      const { restore } = await import("../../platform/backup/backup.ts");
      const restored = await withProgress(io, "Restoring", () =>
        restore({
          dataFolder: dataFolderOf(io, options.data),
          file: resolve(io.cwd, file),
          force: options.force === true,
          variables: masterKeyVariables(io.env),
          now: new Date(),
        }),
      );
      if (options.json) return writeJson(io.stdout, restored);
      const colors = colorsFor(io, io.stdout);
      writeLine(io.stdout, `${colors.green("✔")} restored ${describe(restored)}`);
      if (restored.kept !== null) {
        writeLine(io.stdout, `  the database that was there is kept as ${restored.kept}`);
      }
      if (!restored.masterKeyPresent) {
        writeLine(
          io.stdout,
          `${colors.yellow("!")} it opens with master key ${restored.masterKeyId}: put that into the folder as master.key (chmod 600), or set COUNTERSIGN_MASTER_KEY`,
        );
      }
    });
}

function describe({ bytes, accounts, certificates, scripts }: BackupFacts): string {
  return `${formatSize(bytes)}: accounts ${accounts}, certificates and CAs ${certificates}, scripts ${scripts}`;
}
