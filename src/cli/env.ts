import type { Command } from "commander";
import { hostname } from "node:os";
import { Failure } from "../failures.ts";
import { dataFolderOf, dataOption } from "./data-option.ts";
import { isTerminal, writeJson, writeLine, type Io } from "./io.ts";
import { platformClient } from "./platform-client.ts";

type Shell = "posix" | "fish" | "powershell";

const assign: Record<Shell, (name: string, value: string) => string> = {
  posix: (name, value) => `export ${name}='${value.replaceAll("'", `'\\''`)}'`,
  fish: (name, value) => `set -gx ${name} '${value.replaceAll(/['\\]/g, String.raw`\$&`)}'`,
  powershell: (name, value) => `$env:${name} = '${value.replaceAll("'", "''")}'`,
};

export function addEnvCommand(program: Command, io: Io): void {
  program
    .command("env")
    .description("print the variables that point wrangler, the SDK and Terraform at this platform")
    .option(...dataOption)
    .option("--shell <shell>", "posix, fish or powershell", "posix")
    .option("--hours <n>", "how long the token works: 1 to 8760", "12")
    .option("--json", "one JSON object instead of shell commands")
    .addHelpText(
      "after",
      `
Each call makes a new API token: only its hash is kept, so an old one cannot be shown again. A token
that the environment has already, and that still works, is printed again instead.

Examples:
  $ eval "$(countersign env)"
  $ countersign env --shell fish | source
  $ countersign env --json > env.json`,
    )
    .action(async (options: EnvOptions) => {
      const variables = await wranglerVariables(io, options);
      if (options.json) return writeJson(io.stdout, variables);
      const line = assign[shellOf(options.shell)];
      for (const [name, value] of Object.entries(variables)) {
        writeLine(io.stdout, line(name, value));
      }
      if (isTerminal(io.stdout)) {
        writeLine(io.stderr, `\nTo set them in this shell: eval "$(npx countersign env)"`);
      }
    });
}

interface EnvOptions {
  readonly data?: string;
  readonly shell: string;
  readonly hours: string;
  readonly json?: true;
}

/** What unmodified wrangler reads. The last keeps it from calling home. */
export interface WranglerVariables extends Record<string, string> {
  readonly CLOUDFLARE_API_BASE_URL: string;
  readonly CLOUDFLARE_API_TOKEN: string;
  readonly CLOUDFLARE_ACCOUNT_ID: string;
  readonly WRANGLER_SEND_METRICS: string;
}

export async function wranglerVariables(
  io: Io,
  options: { readonly data?: string; readonly hours: string },
): Promise<WranglerVariables> {
  const hours = Number(options.hours);
  if (!Number.isInteger(hours) || hours < 1 || hours > 8760) {
    throw new Failure("usage", {
      message: `--hours "${options.hours}" is not a whole number from 1 to 8760`,
    });
  }
  const platform = platformClient(dataFolderOf(io, options.data));
  const info = await platform.info();
  const present = io.env["CLOUDFLARE_API_TOKEN"];
  const token =
    present && (await works(info.api, present))
      ? present
      : await platform.createToken(`countersign env on ${hostname()}`, hours * 3600);
  return {
    CLOUDFLARE_API_BASE_URL: info.api,
    CLOUDFLARE_API_TOKEN: token,
    CLOUDFLARE_ACCOUNT_ID: info.accountId,
    WRANGLER_SEND_METRICS: "false",
  };
}

async function works(api: string, token: string): Promise<boolean> {
  const response = await fetch(`${api}/user/tokens/verify`, {
    headers: { authorization: `Bearer ${token}` },
  });
  await response.body?.cancel();
  return response.ok;
}

function shellOf(name: string): Shell {
  if (name in assign) return name as Shell;
  throw new Failure("usage", { message: `--shell "${name}" is none of posix, fish, powershell` });
}
