import type { Command } from "commander";
import { apiClient } from "../../client/api-client.ts";
import { dataOption } from "../../data-option.ts";
import { addZoneSettings } from "./zone-settings.ts";
import { colorsFor, writeJson, writeLine, type Io } from "../../../terminal/io.ts";

interface Options {
  readonly data?: string;
  readonly json?: true;
}

interface Zones {
  readonly zones: readonly string[];
}

const path = "/countersign/proxied_zones";

export function addZoneCommand(program: Command, io: Io): void {
  const group = program.command("zone");
  addZoneSettings(group, io);
  group
    .command("list")
    .description("the zones that are marked proxied")
    .option(...dataOption)
    .option("--json", "one JSON object")
    .action(async (options: Options) => {
      const api = await apiClient(io, options);
      const { result } = await api.call<Zones>("GET", path);
      if (options.json) return writeJson(io.stdout, result);
      if (result.zones.length === 0) writeLine(io.stderr, "no zone is marked proxied");
      for (const zone of result.zones) writeLine(io.stdout, zone);
    });
  group
    .command("proxied")
    .description("mark zones as proxied, or with --off as not proxied")
    .argument("<zone...>", "their names: `example.com` is that host and all below it")
    .option("--off", "client certificates are presented there again")
    .option(...dataOption)
    .option("--json", "one JSON object")
    .addHelpText(
      "after",
      `
As on Cloudflare, a client certificate is of no use where a proxy ends TLS: it would see the certificate, and the
origin behind it would not. A binding answers 520 there, with the reason.

Examples:
  $ countersign zone proxied example.com
  $ countersign zone proxied example.com --off`,
    )
    .action(async (names: string[], options: Options & { off?: true }) => {
      const api = await apiClient(io, options);
      const { result: before } = await api.call<Zones>("GET", path);
      const kept = before.zones.filter((zone) => !names.includes(zone));
      const zones = options.off ? kept : [...kept, ...names];
      const { result } = await api.call<Zones>("PUT", path, { zones });
      if (options.json) return writeJson(io.stdout, result);
      const done = colorsFor(io, io.stdout).green("✔");
      writeLine(io.stdout, `${done} proxied: ${result.zones.join(", ") || "none"}`);
    });
}
