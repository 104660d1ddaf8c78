import type { Command } from "commander";
import { Failure } from "../../failures/failures.ts";
import type { AccountRow } from "../../store/schema.ts";
import { dataOption } from "../data-option.ts";
import { writeJson, writeLine, type Io } from "../../terminal/io.ts";
import { accessOf, ownersPlatform } from "../client/access.ts";
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
      const made = await (
        await ownersPlatform(io, options)
      ).ask<AccountRow>("POST", "/accounts", { name, subdomain: options.subdomain ?? null });
      if (options.json) return writeJson(io.stdout, made);
      writeLine(io.stdout, `Account "${made.name}" is ${made.id}`);
    });
  account
    .command("list")
    .description("list the accounts")
    .option(...dataOption)
    .option("--json", "one JSON array")
    .action(async (options: Options) => {
      const ask = await accessOf(io, options);
      const accounts = await ask<AccountRow[]>("GET", "/accounts");
      if (options.json) return writeJson(io.stdout, accounts);
      const rows = accounts.map(({ id, name, subdomain }) => [id, name, subdomain ?? "–"]);
      writeTable(io, ["id", "name", "subdomain"], rows);
    });
  account
    .command("limits [account]")
    .description("show how much an account may hold, or change it")
    .option(...dataOption)
    .option("--certificates <n>", "leaf certificates; 1,000 unless set")
    .option("--cas <n>", "CAs; 5 unless set")
    .option("--json", "one JSON object")
    .addHelpText(
      "after",
      `
Without a name or an id it is the first account.

Examples:
  $ countersign account limits
  $ countersign account limits Shop --certificates 5000 --cas 20`,
    )
    .action(async (named: string | undefined, options: LimitOptions) => {
      const shown = await (
        await ownersPlatform(io, options)
      ).ask<ShownLimits>("POST", "/accounts/limits", {
        ...(named !== undefined && { account: named }),
        ...limit("certificates", "--certificates", options.certificates),
        ...limit("authorities", "--cas", options.cas),
      });
      if (options.json) return writeJson(io.stdout, shown);
      const { certificates, authorities } = shown.limits;
      writeLine(
        io.stdout,
        `Account "${shown.name}" may hold ${certificates} certificates and ${authorities} CAs`,
      );
    });
}

interface LimitOptions extends Options {
  readonly certificates?: string;
  readonly cas?: string;
}

interface ShownLimits {
  readonly name: string;
  readonly limits: { readonly certificates: number; readonly authorities: number };
}

function limit(field: string, option: string, text: string | undefined): Record<string, number> {
  if (text === undefined) return {};
  if (/^\d{1,7}$/.test(text) && Number(text) <= 1_000_000) return { [field]: Number(text) };
  throw new Failure("usage", {
    message: `${option} "${text.slice(0, 100)}" is not a whole number from 0 to 1,000,000`,
  });
}

interface Options {
  readonly data?: string;
  readonly json?: true;
}
