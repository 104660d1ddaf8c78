import type { Command } from "commander";
import type { PlatformStatus } from "../../platform/admin.ts";
import { colorsFor, writeJson, writeLine, type Io } from "../../terminal/io.ts";
import { apiClient } from "../client/api-client.ts";
import { listShown } from "../client/certificate-api.ts";
import { platformClient } from "../client/platform-client.ts";
import { choosePlatform } from "../client/chosen-platform.ts";
import { dataOption } from "../data-option.ts";

export function addStatusCommand(program: Command, io: Io): void {
  program
    .command("status")
    .option(...dataOption)
    .option("--json", "one JSON object")
    .addHelpText(
      "after",
      `
On the platform's own machine it lists the processes, too. \`doctor\` looks for what is wrong.
Exit status: 0 it answers, 3 it does not.

Examples:
  $ countersign status
  $ countersign status --json | jq .workers`,
    )
    .action(async (options: { data?: string; json?: true }) => {
      const chosen = choosePlatform(io, options);
      const api = await apiClient(io, options);
      const scripts = (await api.call<readonly { id: string }[]>("GET", "/workers/scripts")).result;
      const certificates = await listShown(api, "leaf");
      const local =
        chosen.kind === "folder" ? await platformClient(chosen.dataFolder).status() : null;
      const soon = certificates.filter(({ threshold }) => threshold !== null).length;
      if (options.json) {
        return writeJson(io.stdout, {
          api: api.api,
          from: api.from,
          account_id: api.accountId,
          scripts: scripts.map(({ id }) => id),
          certificates: { count: certificates.length, expiring: soon },
          ...(local && { processes: processesOf(local), workers: local.workers }),
        });
      }
      const colors = colorsFor(io, io.stdout);
      const row = (name: string, value: string): void =>
        writeLine(io.stdout, `  ${colors.dim(name.padEnd(12))} ${value}`);
      writeLine(io.stdout, `${colors.green("✔")} ${api.api} answers (from ${api.from})`);
      row("account", api.accountId);
      row("Workers", `${scripts.length}`);
      row("certificates", `${certificates.length}${soon > 0 ? `, ${soon} of them end soon` : ""}`);
      for (const { name, state, pid } of local ? processesOf(local) : []) {
        row(name, `${state}${pid === null ? "" : `, process ${pid}`}`);
      }
      for (const { scriptName, state, pid, urls } of local?.workers ?? []) {
        const process = state === "idle" ? "" : `, process ${pid ?? "–"}`;
        row(`  ${scriptName}`, `${state}${process}  ${colors.dim(urls.join(" "))}`);
      }
    });
}

function processesOf(status: PlatformStatus) {
  const gateways = status.gatewayProcesses.map((one) => ({ name: "gateway", ...one }));
  const ingresses = status.ingressProcesses.map((one) => ({ name: "ingress", ...one }));
  return [...gateways, ...ingresses].map(({ name, state, pid }) => ({
    name,
    state,
    pid,
  }));
}
