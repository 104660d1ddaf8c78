import type { Command } from "commander";
import { hostname } from "node:os";
import { paths, wranglerClient } from "../../control/access/login/client.ts";
import { Failure } from "../../failures/failures.ts";
import type { PlatformInfo } from "../../platform/admin.ts";
import { sendInside } from "../client/platform-client.ts";
import { dataFolderOf, dataOption } from "../data-option.ts";
import { isTerminal, writeJson, writeLine, type Io } from "../../terminal/io.ts";
import { ownersPlatform } from "../client/access.ts";

type Shell = "posix" | "fish" | "powershell";

const assign: Record<Shell, (name: string, value: string) => string> = {
  posix: (name, value) => `export ${name}='${value.replaceAll("'", `'\\''`)}'`,
  fish: (name, value) => `set -gx ${name} '${value.replaceAll(/['\\]/g, String.raw`\$&`)}'`,
  powershell: (name, value) => `$env:${name} = '${value.replaceAll("'", "''")}'`,
};

const remove: Record<Shell, (name: string) => string> = {
  posix: (name) => `unset ${name}`,
  fish: (name) => `set -e ${name}`,
  powershell: (name) => `Remove-Item Env:${name} -ErrorAction Ignore`,
};

export function addEnvCommand(program: Command, io: Io): void {
  program
    .command("env")
    .option(...dataOption)
    .option("--shell <shell>", "posix, fish or powershell", "posix")
    .option("--hours <n>", "how long the token works: 1 to 8760", "12")
    .option("--login", "for `wrangler login`: no token, but where to sign in")
    .option("--json", "one JSON object instead of shell commands")
    .addHelpText(
      "after",
      `
Each call makes a new API token: only its hash is kept, so an old one cannot be shown again. A token
that the environment has already, and that still works, is printed again instead.

With --login it sets where wrangler signs people in, and unsets a token, which would keep it from that.

Examples:
  $ eval "$(countersign env)"
  $ eval "$(countersign env --login)" && wrangler login
  $ countersign env --shell fish | source
  $ countersign env --json > env.json`,
    )
    .action(async (options: EnvOptions) => {
      const shell = shellOf(options.shell);
      const variables = options.login
        ? await loginVariables(io, options)
        : await wranglerVariables(io, options);
      if (options.json) return writeJson(io.stdout, variables);
      if (options.login) writeLine(io.stdout, remove[shell]("CLOUDFLARE_API_TOKEN"));
      const line = assign[shell];
      for (const [name, value] of Object.entries(variables)) {
        writeLine(io.stdout, line(name, value));
      }
      if (isTerminal(io.stdout)) {
        const again = options.login ? "env --login" : "env";
        writeLine(io.stderr, `\nTo set them in this shell: eval "$(npx countersign ${again})"`);
      }
    });
}

interface EnvOptions {
  readonly data?: string;
  readonly shell: string;
  readonly hours: string;
  readonly login?: true;
  readonly json?: true;
}

/**
 * Variables that unmodified wrangler, the SDKs and Terraform read. The last one keeps wrangler from sending usage data.
 */
export interface WranglerVariables extends Record<string, string> {
  readonly CLOUDFLARE_API_BASE_URL: string;
  /** The name that the SDKs and Terraform use: without it they send the token to Cloudflare. */
  readonly CLOUDFLARE_BASE_URL: string;
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
  const platform = await ownersPlatform(io, options);
  const info = await platform.info();
  const present = io.env["CLOUDFLARE_API_TOKEN"];
  const folder = dataFolderOf(io, options.data);
  const token =
    present && (await works(folder, present))
      ? present
      : await platform.createToken(`countersign env on ${hostname()}`, hours * 3600);
  return {
    CLOUDFLARE_API_BASE_URL: info.api,
    CLOUDFLARE_BASE_URL: info.api,
    CLOUDFLARE_API_TOKEN: token,
    CLOUDFLARE_ACCOUNT_ID: info.accountId,
    WRANGLER_SEND_METRICS: "false",
    ...trusting(io, info),
  };
}

/**
 * Variables that make Node, and therefore wrangler, trust the local CA. A variable that is already set is not changed.
 */
function trusting(io: Io, { authorityFile }: PlatformInfo): Readonly<Record<string, string>> {
  const present = io.env["NODE_EXTRA_CA_CERTS"];
  if (authorityFile === null || present === authorityFile) return {};
  if (present === undefined) return { NODE_EXTRA_CA_CERTS: authorityFile };
  writeLine(
    io.stderr,
    `NODE_EXTRA_CA_CERTS is ${present}: it has to have the certificate in ${authorityFile} as well`,
  );
  return {};
}

/** Variables that make `wrangler login` sign in here instead of at Cloudflare. */
async function loginVariables(
  io: Io,
  options: { readonly data?: string },
): Promise<Readonly<Record<string, string>>> {
  const info = await (await ownersPlatform(io, options)).info();
  const { api } = info;
  const { origin, host } = new URL(api);
  return {
    CLOUDFLARE_API_BASE_URL: api,
    CLOUDFLARE_BASE_URL: api,
    WRANGLER_AUTH_URL: origin + paths.authorization,
    WRANGLER_TOKEN_URL: origin + paths.token,
    WRANGLER_REVOKE_URL: origin + paths.revocation,
    WRANGLER_AUTH_DOMAIN: host,
    WRANGLER_CLIENT_ID: wranglerClient.client_id,
    WRANGLER_SEND_METRICS: "false",
    ...trusting(io, info),
  };
}

async function works(dataFolder: string, token: string): Promise<boolean> {
  const path = "/client/v4/user/tokens/verify";
  const headers = { authorization: `Bearer ${token}` };
  return (await sendInside(dataFolder, "GET", path, headers, undefined)).status === 200;
}

function shellOf(name: string): Shell {
  if (Object.hasOwn(assign, name)) return name as Shell;
  throw new Failure("usage", { message: `--shell "${name}" is none of posix, fish, powershell` });
}
