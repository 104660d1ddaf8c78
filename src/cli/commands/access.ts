import type { Command } from "commander";
import { Failure } from "../../failures/failures.ts";
import { colorsFor, writeJson, writeLine, type Io } from "../../terminal/io.ts";
import { writeTable } from "../../terminal/table.ts";
import { apiClient, type ApiClient } from "../client/api-client.ts";
import { confirm, yesOption } from "../confirm.ts";
import { dataOption } from "../data-option.ts";

interface Options {
  readonly data?: string;
  readonly json?: true;
  readonly yes?: true;
  readonly duration?: string;
  readonly overlap?: string;
}

interface ServiceToken {
  readonly id: string;
  readonly name: string;
  readonly client_id: string;
  /** Present only when the token was just made. */
  readonly client_secret?: string;
  /** ISO 8601. Absent: it does not expire. */
  readonly expires_at?: string;
}

interface Application {
  readonly id: string;
  readonly name: string;
  readonly domain: string;
  readonly policies?: readonly { readonly name?: string; readonly decision?: string }[];
}

const TOKENS = "/access/service_tokens";

export function addAccessCommand(program: Command, io: Io): void {
  const group = program.command("access");
  addTokens(group.command("token").description("service tokens, which let machines in"), io);
  const app = group.command("app").description("applications: hosts and paths behind Access");
  app
    .command("list")
    .description("list the applications of the account, and who is let in")
    .option(...dataOption)
    .option("--json", "one JSON array")
    .action(async (options: Options) => {
      const api = await apiClient(io, options);
      const { result } = await api.call<readonly Application[]>("GET", "/access/apps");
      if (options.json) return writeJson(io.stdout, result);
      const rows = result.map(({ name, domain, policies = [] }) => [
        name,
        domain,
        policies.map((one) => `${one.decision}: ${one.name}`).join(", ") || "nobody",
      ]);
      writeTable(io, ["NAME", "DOMAIN", "POLICIES"], rows);
    });
}

function addTokens(group: Command, io: Io): void {
  group
    .command("create <name>")
    .description("make a service token, and show its secret once")
    .option("--duration <time>", "how long it is good for, as 720h (default: a year)")
    .option(...dataOption)
    .option("--json", "one JSON object")
    .addHelpText("after", "\nExample:\n  $ countersign access token create ci --duration 720h")
    .action(async (name: string, options: Options) => {
      const api = await apiClient(io, options);
      const { duration } = options;
      const { result } = await api.call<ServiceToken>("POST", TOKENS, {
        name,
        ...(duration !== undefined && { duration }),
      });
      printSecret(io, result, options);
    });
  group
    .command("list")
    .description("list the service tokens of the account")
    .option(...dataOption)
    .option("--json", "one JSON array")
    .action(async (options: Options) => {
      const { result } = await tokens(await apiClient(io, options));
      if (options.json) return writeJson(io.stdout, result);
      const rows = result.map((one) => [
        one.id,
        one.name,
        one.client_id,
        one.expires_at?.slice(0, 10) ?? "never",
      ]);
      writeTable(io, ["ID", "NAME", "CLIENT ID", "EXPIRES"], rows);
    });
  group
    .command("rotate <id|name>")
    .description("give a service token another secret, and show it once")
    .option("--overlap <minutes>", "how long the old secret keeps working", "0")
    .option(...dataOption)
    .option("--json", "one JSON object")
    .addHelpText("after", "\nExample:\n  $ countersign access token rotate ci --overlap 60")
    .action(async (named: string, options: Options) => {
      const minutes = Number(options.overlap);
      if (!(minutes >= 0 && minutes <= MOST_OVERLAP)) {
        throw new Failure("usage", { message: `--overlap takes 0 to ${MOST_OVERLAP} minutes` });
      }
      const api = await apiClient(io, options);
      const { id } = await find(api, named);
      const until = new Date(Date.now() + minutes * 60_000).toISOString();
      const { result } = await api.call<ServiceToken>("POST", `${TOKENS}/${id}/rotate`, {
        ...(minutes > 0 && { previous_client_secret_expires_at: until }),
      });
      printSecret(io, result, options);
    });
  group
    .command("revoke <id|name>")
    .description("revoke a service token: it lets nobody in any more")
    .option(...yesOption)
    .option(...dataOption)
    .option("--json", "one JSON object")
    .action(async (named: string, options: Options) => {
      const api = await apiClient(io, options);
      const { id, name } = await find(api, named);
      await confirm(io, options, `This revokes the service token "${name}" for good.`);
      await api.call("DELETE", `${TOKENS}/${id}`);
      if (options.json) return writeJson(io.stdout, { id, revoked: true });
      writeLine(io.stdout, `${colorsFor(io, io.stdout).green("✔")} ${name} lets nobody in`);
    });
}

/** A week, in minutes. */
const MOST_OVERLAP = 10_080;

function tokens(api: ApiClient): Promise<{ readonly result: readonly ServiceToken[] }> {
  return api.call<readonly ServiceToken[]>("GET", TOKENS);
}

/** @throws Failure `access_not_found`, `usage` if several tokens have this name */
async function find(api: ApiClient, named: string): Promise<ServiceToken> {
  const { result } = await tokens(api);
  const byId = result.find(({ id, client_id }) => id === named || client_id === named);
  const byName = result.filter(({ name }) => name === named);
  if (byId === undefined && byName.length > 1) {
    throw new Failure("usage", { message: `${byName.length} service tokens have this name` });
  }
  const found = byId ?? byName[0];
  if (found !== undefined) return found;
  throw new Failure("access_not_found", {
    message: `Access has no service token "${named.slice(0, 100)}"`,
    fix: "List them: `countersign access token list`.",
  });
}

function printSecret(io: Io, token: ServiceToken, { json }: Options): void {
  if (json) return writeJson(io.stdout, token);
  writeLine(io.stdout, `CF-Access-Client-Id: ${token.client_id}`);
  writeLine(io.stdout, `CF-Access-Client-Secret: ${token.client_secret}`);
  writeLine(io.stderr, "The secret is shown once: only its hash is kept.");
}
