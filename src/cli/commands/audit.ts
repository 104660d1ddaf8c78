import type { Command } from "commander";
import type { AuditCheck } from "../../store/access/audit-check.ts";
import type { AuditEntry } from "../../store/access/audit.ts";
import { dataOption } from "../data-option.ts";
import { colorsFor, writeJson, writeLine, type Io } from "../../terminal/io.ts";
import { accessOf, ownersPlatform } from "../client/access.ts";
import { writeTable } from "../../terminal/table.ts";

export function addAuditCommand(program: Command, io: Io): void {
  const audit = program.command("audit");
  audit
    .command("list")
    .description("list what was done, newest first")
    .option(...dataOption)
    .option("--account <name>", "in this account only, by name or id")
    .option("--email <address>", "by this person only")
    .option("--action <action>", "only this action, like certificate.upload")
    .option("--limit <n>", "how many at most: 1 to 10000", "50")
    .option("--json", "one JSON array, with what was before and after")
    .action(async (options: ListOptions) => {
      const { account, email, action, limit } = options;
      const query = new URLSearchParams({
        limit,
        ...(account !== undefined && { account }),
        ...(email !== undefined && { email }),
        ...(action !== undefined && { action }),
      });
      const entries = await (
        await accessOf(io, options)
      )<AuditEntry[]>("GET", `/audit?${query.toString()}`);
      if (options.json) return writeJson(io.stdout, entries);
      const rows = entries.map((e) => [
        String(e.sequence),
        e.at.slice(0, 19).replace("T", " "),
        e.by.email,
        e.by.address ?? "here",
        e.action,
        e.resource.name ?? e.resource.id,
        e.fingerprint?.slice(0, 16) ?? "",
      ]);
      writeTable(io, ["#", "when (UTC)", "who", "from", "did", "to", "fingerprint"], rows);
    });
  audit
    .command("verify")
    .description("follow the log's chain, and say whether an entry was changed or taken out")
    .option(...dataOption)
    .option(
      "--head <n:hash>",
      "an end of the log that was noted before, which has to be part of it",
    )
    .option("--json", "one JSON object")
    .addHelpText(
      "after",
      `
The end of the log is sealed with the master key. Who puts the whole database back to an older state takes
that along: note the end that this prints where nobody can change it, and give it with --head the next time.`,
    )
    .action(async (options: Options & { head?: string }) => {
      const check = await (
        await ownersPlatform(io, options)
      ).ask<AuditCheck>("POST", "/audit/verify", { head: options.head ?? null });
      if (options.json) return writeJson(io.stdout, check);
      const { sequence, hash } = check.head;
      if (check.removed > 0) {
        writeLine(io.stdout, `  The first ${check.removed} were removed by --audit-days`);
      }
      writeLine(
        io.stdout,
        `${colorsFor(io, io.stdout).green("✔")} ${check.entries} entries, none changed, none missing`,
      );
      writeLine(io.stdout, `  It ends at ${sequence}:${hash}`);
    });
}

interface Options {
  readonly data?: string;
  readonly json?: true;
}

interface ListOptions extends Options {
  readonly account?: string;
  readonly email?: string;
  readonly action?: string;
  readonly limit: string;
}
