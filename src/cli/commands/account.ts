import type { Command } from "commander";
import type { AccountRow } from "../../store/schema.ts";
import { dataFolderOf, dataOption } from "../data-option.ts";
import { writeJson, writeLine, type Io } from "../../terminal/io.ts";
import { platformClient } from "../client/platform-client.ts";
import { writeTable } from "../../terminal/table.ts";

export function addAccountCommand(program: Command, io: Io): void {
  const account = program.command("account");
  account
    .command("add <name>")
    .description("make an account")
    .option(...dataOption)
    .option("--subdomain <label>", "its Workers answer at {script}.<label>.workers.dev")
    .option("--json", "one JSON object")
    .action(async (name: string, options: Options & { subdomain?: string }) => {
      const made = await platformClient(dataFolderOf(io, options.data)).ask<AccountRow>(
        "POST",
        "/accounts",
        { name, subdomain: options.subdomain ?? null },
      );
      if (options.json) return writeJson(io.stdout, made);
      writeLine(io.stdout, `Account "${made.name}" is ${made.id}`);
    });
  account
    .command("list")
    .description("list the accounts")
    .option(...dataOption)
    .option("--json", "one JSON array")
    .action(async (options: Options) => {
      const accounts = await platformClient(dataFolderOf(io, options.data)).ask<AccountRow[]>(
        "GET",
        "/accounts",
      );
      if (options.json) return writeJson(io.stdout, accounts);
      const rows = accounts.map(({ id, name, subdomain }) => [id, name, subdomain ?? "–"]);
      writeTable(io, ["id", "name", "subdomain"], rows);
    });
}

interface Options {
  readonly data?: string;
  readonly json?: true;
}
