import type { Command } from "commander";
import { Failure } from "../../../failures/failures.ts";
import { colorsFor, writeJson, writeLine, type Io } from "../../../terminal/io.ts";
import { apiClient } from "../../client/api-client.ts";
import { presentedTo, type ShownOrigin } from "../../client/host-api.ts";
import { dataOption } from "../../data-option.ts";

interface Options {
  readonly data?: string;
  readonly json?: true;
  readonly to?: string;
  readonly certificate?: string;
  readonly delete?: true;
}

export function addHostOrigin(group: Command, io: Io): void {
  group
    .command("origin")
    .description("have a host's requests go to an origin, with a client certificate")
    .argument("<host>", "`api.example.com`, or `*.example.com` for any host below it")
    .option("--to <url>", "where the origin is: `https://10.0.0.5`, `https://origin.internal:8443`")
    .option("--certificate <name>", "the client certificate to present, by name or id")
    .option("--delete", "remove the host's origin")
    .option(...dataOption)
    .option("--json", "one JSON object")
    .addHelpText(
      "after",
      `
What no Worker has a route for goes to the origin, which is verified by the host's name and by the CAs that the
account trusts (\`countersign ca trust\`). Without an option it shows what holds.

Examples:
  $ countersign host origin api.example.com --to https://10.0.0.5 --certificate my-cert
  $ countersign host origin api.example.com
  $ countersign host origin api.example.com --delete`,
    )
    .action(async (host: string, { to, certificate, ...options }: Options) => {
      const api = await apiClient(io, options);
      const path = `/countersign/hosts/${encodeURIComponent(host)}/origin`;
      const done = colorsFor(io, io.stdout).green("✔");
      if (options.delete) {
        await api.call("DELETE", path);
        if (options.json) return writeJson(io.stdout, { host, deleted: true });
        return writeLine(io.stdout, `${done} ${host} has no origin any more`);
      }
      if (to === undefined && certificate !== undefined) {
        throw new Failure("usage", { message: "--to URL is needed: where the origin is" });
      }
      const { result } =
        to === undefined
          ? await api.call<ShownOrigin>("GET", path)
          : await api.call<ShownOrigin>("PUT", path, { to, certificate });
      if (options.json) return writeJson(io.stdout, result);
      const mark = to === undefined ? "" : `${done} `;
      const presented = presentedTo(result);
      writeLine(io.stdout, `${mark}${result.host} goes to ${result.to}, and presents ${presented}`);
    });
}
