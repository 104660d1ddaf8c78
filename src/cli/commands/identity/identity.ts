import type { Command } from "commander";
import { apiClient } from "../../client/api-client.ts";
import { confirm, yesOption } from "../../confirm.ts";
import { dataOption } from "../../data-option.ts";
import { colorsFor, writeJson, writeLine, type Io } from "../../../terminal/io.ts";
import { writeTable } from "../../../terminal/table.ts";
import { addIdentityAuthorityCommands } from "./identity-ca.ts";
import { addIdentityEnvironmentsCommand } from "./identity-environments.ts";
import { addIdentityIssueCommands } from "./identity-issue.ts";

interface Options {
  readonly data?: string;
  readonly json?: true;
}

interface ShownIdentity {
  readonly worker: string;
  readonly spiffe_id: string;
  readonly state: "active" | "revoked" | "deleted";
  readonly revoked_on: string | null;
  readonly serial_number: string | null;
  readonly expires_on: string | null;
  readonly issued?: readonly {
    readonly serial_number: string;
    readonly spiffe_id: string | null;
    readonly issued_on: string;
    readonly expires_on: string;
    readonly revoked_on: string | null;
  }[];
}

const path = "/countersign/identities";

export function addIdentityCommand(program: Command, io: Io): void {
  const group = program.command("identity");
  group
    .command("list")
    .description("which Workers have one, and until when")
    .option(...dataOption)
    .option("--json", "one JSON array")
    .action(async (options: Options) => {
      const { result } = await (await apiClient(io, options)).call<ShownIdentity[]>("GET", path);
      if (options.json) return writeJson(io.stdout, result);
      if (result.length === 0) writeLine(io.stderr, "no Worker has an identity");
      const rows = result.map((one) => [
        one.worker,
        one.state,
        one.expires_on ?? "",
        one.spiffe_id,
      ]);
      if (rows.length > 0) writeTable(io, ["worker", "state", "expires", "spiffe id"], rows);
    });
  group
    .command("show")
    .description("one Worker's identity, and what was issued to it")
    .argument("<worker>", "its name, or its SPIFFE ID")
    .option(...dataOption)
    .option("--json", "one JSON object")
    .action(async (worker: string, options: Options) => {
      const api = await apiClient(io, options);
      const { result } = await api.call<ShownIdentity>(
        "GET",
        `${path}/${encodeURIComponent(worker)}`,
      );
      if (options.json) return writeJson(io.stdout, result);
      writeLine(io.stdout, `${result.spiffe_id}  ${result.state}`);
      for (const one of result.issued ?? []) {
        const end = one.revoked_on === null ? "" : `  revoked ${one.revoked_on}`;
        writeLine(io.stdout, `  ${one.serial_number}  ${one.issued_on} to ${one.expires_on}${end}`);
        if (one.spiffe_id !== null && one.spiffe_id !== result.spiffe_id) {
          writeLine(io.stdout, `    as ${one.spiffe_id}`);
        }
      }
    });
  addChange(
    group,
    io,
    "revoke",
    "take a Worker's identity away: origins refuse it at its next request",
  );
  addChange(group, io, "restore", "let a Worker have an identity again; it gets a new one");
  addIdentityEnvironmentsCommand(group, io);
  addIdentityIssueCommands(group, io);
  addIdentityAuthorityCommands(group, io);
  group.addHelpText(
    "after",
    `
A Worker has an identity once it is deployed with a binding for one:
  "mtls_certificates": [{ "binding": "ME", "certificate_id": "identity" }]

Examples:
  $ countersign identity list
  $ countersign identity revoke orders --yes
  $ countersign identity ca export > acme-bundle.pem`,
  );
}

function addChange(group: Command, io: Io, verb: "revoke" | "restore", description: string): void {
  const command = group
    .command(verb)
    .description(description)
    .argument("<worker>", "its name, or its SPIFFE ID")
    .option(...dataOption)
    .option("--json", "one JSON object");
  if (verb === "revoke") command.option(...yesOption);
  command.action(async (worker: string, options: Options & { yes?: true }) => {
    const api = await apiClient(io, options);
    if (verb === "revoke") {
      await confirm(
        io,
        options,
        `The Worker "${worker}" is refused by every origin that asks for its identity.`,
      );
    }
    const one = `${path}/${encodeURIComponent(worker)}/${verb}`;
    const { result } = await api.call<ShownIdentity>("POST", one, {});
    if (options.json) return writeJson(io.stdout, result);
    const done = colorsFor(io, io.stdout).green("✔");
    writeLine(io.stdout, `${done} ${result.worker}: ${result.state}`);
  });
}
