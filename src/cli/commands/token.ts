import type { Command } from "commander";
import { Failure } from "../../failures/failures.ts";
import type { ShownToken } from "../../platform/access/tokens.ts";
import { confirm, yesOption } from "../confirm.ts";
import { dataOption } from "../data-option.ts";
import { writeJson, writeLine, type Io } from "../../terminal/io.ts";
import { accessOf } from "../client/access.ts";
import { writeTable } from "../../terminal/table.ts";

export function addTokenCommand(program: Command, io: Io): void {
  const token = program.command("token");
  const ask = async <T>(
    options: Options,
    method: "GET" | "POST" | "DELETE",
    path: string,
    body?: unknown,
  ) => (await accessOf(io, options))<T>(method, path, body);

  token
    .command("create <name>")
    .description("make an API token, and show it once")
    .option(...dataOption)
    .option("--account <name>", "the account, by name or id (default: the first)")
    .option("--role <role>", "what it may do: admin, deployer or viewer", "deployer")
    .option("--scope <scope...>", "what it may do, scope by scope, instead of a role")
    .option("--expires <time>", "30d, 12h, 90m, or never", "90d")
    .option("--allow-ip <cidr...>", "addresses that it works from (default: any)")
    .option("--deny-ip <cidr...>", "addresses that it does not work from")
    .option("--json", "one JSON object")
    .addHelpText(
      "after",
      `
Examples:
  $ countersign token create ci
  $ countersign token create rotate --scope ssl_certs:write --expires 1d --allow-ip 10.0.0.0/8`,
    )
    .action(async (name: string, options: CreateOptions) => {
      const requestIp = {
        ...(options.allowIp && { in: options.allowIp }),
        ...(options.denyIp && { not_in: options.denyIp }),
      };
      const made = await ask<{ id: string; token: string }>(options, "POST", "/tokens", {
        name,
        account: options.account,
        ...(options.scope ? { scopes: options.scope } : { role: options.role }),
        seconds: secondsOf(options.expires),
        ...(Object.keys(requestIp).length > 0 && { requestIp }),
      });
      if (options.json) return writeJson(io.stdout, made);
      writeLine(io.stdout, `${made.token}   shown once: only its hash is kept`);
    });
  token
    .command("list")
    .description("list the API tokens that are not revoked")
    .option(...dataOption)
    .option("--json", "one JSON array")
    .action(async (options: Options) => {
      const tokens = await ask<ShownToken[]>(options, "GET", "/tokens");
      if (options.json) return writeJson(io.stdout, tokens);
      const rows = tokens.map((t) => [
        t.id,
        t.name,
        t.email,
        t.status,
        t.expiresOn?.slice(0, 16).replace("T", " ") ?? "never",
        t.scopes.join(" "),
      ]);
      writeTable(io, ["id", "name", "whose", "status", "expires", "scopes"], rows);
    });
  token
    .command("roll <id|name>")
    .description("give an API token another value; the one before stops working")
    .option(...dataOption)
    .option("--json", "one JSON object")
    .action(async (id: string, options: Options) => {
      const rolled = await ask<{ id: string; token: string }>(options, "POST", pathOf(id, "/roll"));
      if (options.json) return writeJson(io.stdout, rolled);
      writeLine(io.stdout, `${rolled.token}   shown once: only its hash is kept`);
    });
  token
    .command("revoke <id|name>")
    .description("end an API token at once")
    .option(...yesOption)
    .option(...dataOption)
    .option("--json", "one JSON object")
    .action(async (id: string, options: Options & { readonly yes?: true }) => {
      await confirm(io, options, `This ends the API token ${id} for good`);
      const revoked = await ask<{ id: string; name: string }>(options, "DELETE", pathOf(id));
      if (options.json) return writeJson(io.stdout, revoked);
      writeLine(io.stdout, `"${revoked.name}" (${revoked.id}) works no longer`);
    });
}

interface Options {
  readonly data?: string;
  readonly json?: true;
}

interface CreateOptions extends Options {
  readonly account?: string;
  readonly role: string;
  readonly scope?: string[];
  readonly expires: string;
  readonly allowIp?: string[];
  readonly denyIp?: string[];
}

function pathOf(id: string, more = ""): string {
  return `/tokens/${encodeURIComponent(id)}${more}`;
}

function secondsOf(text: string): number | null {
  if (text === "never") return null;
  const [, count = "", unit = ""] = /^(\d{1,6})([dhm])$/.exec(text) ?? [];
  const seconds = Number(count) * ({ d: 86_400, h: 3600, m: 60 }[unit] ?? 0);
  if (seconds >= 60 && seconds <= 315_360_000) return seconds;
  throw new Failure("usage", {
    message: `--expires "${text}" is not like 30d, 12h, 90m (one minute to ten years) or never`,
  });
}
