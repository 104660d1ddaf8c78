import type { Command } from "commander";
import type { HandshakeReport } from "../../contract/handshake-report.ts";
import { Failure } from "../../failures/failures.ts";
import { withProgress, writeJson, writeLine, type Io } from "../../terminal/io.ts";
import { writeTable } from "../../terminal/table.ts";
import { apiClient, type ApiClient } from "../client/api-client.ts";
import { dataOption } from "../data-option.ts";
import { printHandshake } from "../handshake-print.ts";
import { Exit, exitStatus } from "../report.ts";

interface Options {
  readonly data?: string;
  readonly json?: true;
}

/** As `…/hyperdrive/configs` shows it. */
interface ShownConfig {
  readonly id: string;
  readonly name: string;
  readonly origin: {
    readonly scheme: string;
    readonly host: string;
    readonly port: number;
    readonly database: string;
    readonly user: string;
  };
  readonly mtls: {
    readonly mtls_certificate_id?: string;
    readonly ca_certificate_id?: string;
    readonly sslmode: string;
  };
  readonly origin_connection_limit: number;
}

export function addHyperdriveCommand(program: Command, io: Io): void {
  const group = program.command("hyperdrive");
  group
    .command("list")
    .description("the databases that Workers may bind, and the certificate for each")
    .option(...dataOption)
    .option("--json", "one JSON array")
    .addHelpText(
      "after",
      `
Examples:
  $ countersign hyperdrive list
  $ countersign hyperdrive list --json | jq '.[].name'`,
    )
    .action(async (options: Options) => {
      const api = await apiClient(io, options);
      const all = await configs(api);
      if (options.json) writeJson(io.stdout, all);
      else if (all.length === 0) writeLine(io.stderr, "there is no Hyperdrive configuration");
      else writeTable(io, ["name", "database", "user", "presents", "verifies"], all.map(rowOf));
    });
  group
    .command("test")
    .description("sign in to the database, and print each step")
    .argument("<hyperdrive>", "its id or name")
    .option(
      "--worker <name>",
      "whose identity is presented, where the configuration says `identity`",
    )
    .option(...dataOption)
    .option("--json", "one JSON object")
    .addHelpText(
      "after",
      `
The platform's gateway does it as for a Worker: same certificate, same CA, same user and password. No query is run.
Exit status: 0 the database let the user in, 1 it did not.

Examples:
  $ countersign hyperdrive test shop
  $ countersign hyperdrive test shop --worker orders --json | jq .verdict`,
    )
    .action(async (name: string, options: Options & { readonly worker?: string }) => {
      const api = await apiClient(io, options);
      const { id } = chosen(await configs(api), name);
      const body = options.worker === undefined ? {} : { worker: options.worker };
      const { result } = await withProgress(io, `Signing in to ${name}`, () =>
        api.call<HandshakeReport>("POST", `/countersign/hyperdrive/${id}/test`, body),
      );
      if (options.json) writeJson(io.stdout, result);
      else printHandshake(io, result);
      if (!result.verdict.ok) throw new Exit(exitStatus.failed);
    });
}

function rowOf({ name, origin, mtls }: ShownConfig): string[] {
  const { scheme, host, port, database, user } = origin;
  const presents = mtls.mtls_certificate_id ?? "nothing";
  return [name, `${scheme}://${host}:${port}/${database}`, user, presents, mtls.sslmode];
}

async function configs(api: ApiClient): Promise<readonly ShownConfig[]> {
  return (await api.call<readonly ShownConfig[]>("GET", "/hyperdrive/configs")).result;
}

/** @throws Failure `hyperdrive_not_found` */
function chosen(all: readonly ShownConfig[], name: string): ShownConfig {
  const found = all.find((one) => one.id === name) ?? all.find((one) => one.name === name);
  if (found !== undefined) return found;
  throw new Failure("hyperdrive_not_found", {
    message: `there is no Hyperdrive configuration "${name}" in this account`,
  });
}
