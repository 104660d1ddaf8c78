import type { Command } from "commander";
import { apiClient } from "../../client/api-client.ts";
import { confirm, yesOption } from "../../confirm.ts";
import { dataOption } from "../../data-option.ts";
import { addOfflineAuthorityCommands, read } from "./identity-ca-offline.ts";
import { writeJson, type Io } from "../../../terminal/io.ts";
import { writeTable } from "../../../terminal/table.ts";

interface Options {
  readonly data?: string;
  readonly json?: true;
}

interface ShownAuthority {
  readonly number: number;
  readonly state: "prepared" | "active" | "retiring" | "retired";
  readonly root: string;
  readonly root_fingerprint: string;
  readonly root_expires_on: string;
  readonly intermediate_expires_on: string | null;
  /** The CA's request, while it waits for the root's signature. */
  readonly csr: string | null;
}

const path = "/countersign/identity/authorities";

const steps = {
  prepare: "make the next CA: origins begin to trust it, nothing comes from it yet",
  activate: "issue from the prepared CA; every Worker gets a new identity at once",
  retire: "stop trusting the replaced CAs",
} as const;

/** `countersign identity ca …` */
export function addIdentityAuthorityCommands(identity: Command, io: Io): void {
  const group = identity.command("ca").description("the CA that issues the account's identities");
  group
    .command("show")
    .description("the account's CAs, and where each stands")
    .option(...dataOption)
    .option("--json", "one JSON array")
    .action(async (options: Options) => {
      const { result } = await (await apiClient(io, options)).call<ShownAuthority[]>("GET", path);
      print(io, options, result);
    });
  group
    .command("export")
    .description("print the bundle that origins verify Workers with, PEM")
    .option(...dataOption)
    .action(async (options: Options) => {
      const { result } = await (await apiClient(io, options)).call<ShownAuthority[]>("GET", path);
      const trusted = result.filter(({ state }) => state !== "retired");
      for (const { root } of trusted) io.stdout.write(root);
    });
  group
    .command("import")
    .description("bring the intermediate that the root has signed elsewhere")
    .argument("<file>", "what `sign` printed, PEM: intermediate, what stands above it, and a CRL")
    .option(...dataOption)
    .option("--json", "one JSON array")
    .action(async (file: string, options: Options) => {
      const certificates = read(io, file);
      const api = await apiClient(io, options);
      const { result } = await api.call<ShownAuthority[]>("POST", `${path}/import`, {
        certificates,
      });
      print(io, options, result);
    });
  addOfflineAuthorityCommands(group, io);
  for (const [step, description] of Object.entries(steps)) addStep(group, io, step, description);
  group.addHelpText(
    "after",
    `
A CA is exchanged without a refused request in three steps, each once the one before has reached everybody:
  $ countersign identity ca prepare     # origins that follow the platform trust it within a second
  $ countersign identity ca activate
  $ countersign identity ca retire --yes

The root's key may stay on a machine without a network. Your own CA may be that root, too: sign the request with its tools.
  offline$ countersign identity ca root --account ACCOUNT_ID --out root.pem --key root.key
  $ countersign identity ca prepare --root root.pem > intermediate.csr
  offline$ countersign identity ca sign --csr intermediate.csr --root root.pem --key root.key > signed.pem
  $ countersign identity ca import signed.pem
  $ countersign identity ca activate`,
  );
}

function addStep(group: Command, io: Io, step: string, description: string): void {
  const command = group
    .command(step)
    .description(description)
    .option(...dataOption)
    .option("--json", "one JSON array");
  if (step === "retire") {
    command.option(...yesOption).option("--force", "even if Workers still present what it issued");
  }
  if (step === "prepare") {
    command.option(
      "--root <file>",
      "a root whose key is elsewhere, PEM; prints what it has to sign",
    );
  }
  command.action(async (options: Options & { yes?: true; force?: true; root?: string }) => {
    const root = options.root === undefined ? undefined : read(io, options.root);
    const api = await apiClient(io, options);
    if (step === "retire") {
      await confirm(io, options, "Identities of the replaced CAs are refused by every origin.");
    }
    const body = { ...(options.force && { force: true }), ...(root !== undefined && { root }) };
    const { result } = await api.call<ShownAuthority[]>("POST", `${path}/${step}`, body);
    if (root !== undefined && !options.json) io.stdout.write(result.at(-1)?.csr ?? "");
    else print(io, options, result);
  });
}

function print(io: Io, options: Options, authorities: readonly ShownAuthority[]): void {
  if (options.json) return writeJson(io.stdout, authorities);
  const rows = authorities.map((one) => [
    `${one.number}`,
    one.state,
    one.root_expires_on.slice(0, 10),
    one.intermediate_expires_on?.slice(0, 10) ?? "not signed",
    one.root_fingerprint.replaceAll(":", "").slice(0, 16).toLowerCase(),
  ]);
  writeTable(io, ["number", "state", "root until", "issues until", "root's SHA-256"], rows);
}
