import type { Command } from "commander";
import { Failure } from "../../failures/failures.ts";
import { apiClient } from "../client/api-client.ts";
import { dataOption } from "../data-option.ts";
import { colorsFor, writeJson, writeLine, type Io } from "../../terminal/io.ts";

interface Common {
  readonly data?: string;
  readonly json?: true;
}

interface SetOptions extends Common {
  readonly inProcess?: true;
  readonly gateway?: true;
}

interface ShownBinding {
  readonly name: string;
  readonly certificate_id: string;
  readonly mode: "gateway" | "in-process";
}

export function addBindingCommand(program: Command, io: Io): void {
  const group = program.command("binding");
  group
    .command("list")
    .description("the mTLS bindings of a Worker")
    .argument("<script>", "the Worker's name")
    .option(...dataOption)
    .option("--json", "one JSON array")
    .action(async (script: string, options: Common) => {
      const api = await apiClient(io, options);
      const { result } = await api.call<readonly ShownBinding[]>("GET", pathOf(script));
      if (options.json) return writeJson(io.stdout, result);
      if (result.length === 0) writeLine(io.stderr, `${script} has no mTLS binding`);
      for (const one of result) {
        writeLine(io.stdout, `${one.name}  ${one.certificate_id}  ${one.mode}`);
      }
    });
  group
    .command("set")
    .description("set which process makes a binding's connections; deploys keep it")
    .argument("<script>", "the Worker's name")
    .argument("<binding>", "its name in `env`")
    .option("--gateway", "the gateway, which alone holds the key (the default)")
    .option("--in-process", "workerd itself, in the Worker's process: less CPU, fewer guarantees")
    .option(...dataOption)
    .option("--json", "one JSON object")
    .addHelpText(
      "after",
      `
In-process, the private key is in the memory of the process that runs the Worker, failures are not explained,
http:// goes out in clear, and a rotation restarts the Worker. docs/in-process.md has the whole table.

Examples:
  $ countersign binding list shop
  $ countersign binding set shop PAYMENTS --in-process
  $ countersign binding set shop PAYMENTS --gateway`,
    )
    .action(async (script: string, binding: string, options: SetOptions) => {
      if ((options.inProcess === true) === (options.gateway === true)) {
        throw new Failure("usage", { message: "give one of --in-process and --gateway" });
      }
      const api = await apiClient(io, options);
      const mode = options.inProcess ? "in-process" : "gateway";
      const path = `${pathOf(script)}/${encodeURIComponent(binding)}`;
      const { result } = await api.call<ShownBinding>("PUT", path, { mode });
      if (options.json) return writeJson(io.stdout, result);
      const done = colorsFor(io, io.stdout).green("✔");
      writeLine(io.stdout, `${done} ${script} presents ${result.certificate_id} ${HOW[mode]}`);
    });
}

const HOW = { gateway: "through the gateway", "in-process": "in its own process" } as const;

function pathOf(script: string): string {
  return `/countersign/scripts/${encodeURIComponent(script)}/bindings`;
}
