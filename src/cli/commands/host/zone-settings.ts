import { type Command, Option } from "commander";
import { Failure } from "../../../failures/failures.ts";
import { writeJson, writeLine, type Io } from "../../../terminal/io.ts";
import { writeTable } from "../../../terminal/table.ts";
import { type ApiClient, apiClient } from "../../client/api-client.ts";
import { dataOption } from "../../data-option.ts";

interface Options {
  readonly data?: string;
  readonly json?: true;
  readonly minTls?: string;
  readonly tls13?: "on" | "off";
  readonly alwaysUseHttps?: "on" | "off";
  readonly hsts?: string;
  readonly hstsSubdomains?: true;
  readonly hstsPreload?: true;
  readonly nosniff?: true;
}

interface Setting {
  readonly id: string;
  readonly value: unknown;
}

interface SecurityHeader {
  readonly strict_transport_security: {
    readonly enabled: boolean;
    readonly max_age: number;
    readonly include_subdomains: boolean;
    readonly preload: boolean;
    readonly nosniff: boolean;
  };
}

export function addZoneSettings(group: Command, io: Io): void {
  group
    .command("settings")
    .description("what a zone says of all its hosts at the ingress; with options, change it")
    .argument("<zone>", "its name: `example.com` is that host and all below it")
    .option("--min-tls <version>", "the oldest version of TLS: 1.2 or 1.3")
    .addOption(onOrOff("--tls13 <on|off>", "whether TLS 1.3 is agreed on"))
    .addOption(onOrOff("--always-use-https <on|off>", "whether plain requests are redirected"))
    .option("--hsts <seconds>", "Strict-Transport-Security for so long; off: without it")
    .option("--hsts-subdomains", "with --hsts: for all hosts below as well")
    .option("--hsts-preload", "with --hsts: browsers may have it built in")
    .option("--nosniff", "with --hsts: X-Content-Type-Options: nosniff, too")
    .option(...dataOption)
    .option("--json", "one JSON array")
    .addHelpText(
      "after",
      `
A zone that follows from a route is made the account's by its first change. \`--hsts\` replaces all of what was said of it.

Examples:
  $ countersign zone settings example.com
  $ countersign zone settings example.com --min-tls 1.3 --always-use-https on
  $ countersign zone settings example.com --hsts 31536000 --hsts-subdomains
  $ countersign zone settings example.com --hsts off`,
    )
    .action(async (name: string, options: Options) => {
      const items = itemsOf(options);
      const api = await apiClient(io, options);
      const id = await zoneId(api, name);
      if (items.length > 0) await change(api, { id, name, items });
      const { result } = await api.callAbove<Setting[]>("GET", `/zones/${id}/settings`);
      if (options.json) return writeJson(io.stdout, result);
      writeTable(
        io,
        ["setting", "value"],
        result.map(({ id: setting, value }) => [setting, shown(value)]),
      );
      if (items.length > 0)
        writeLine(io.stderr, "in force for requests and handshakes from now on");
    });
}

function onOrOff(flags: string, what: string): Option {
  return new Option(flags, what).choices(["on", "off"]);
}

/** @throws Failure `usage` */
function itemsOf(options: Options): readonly Setting[] {
  const { minTls, tls13, alwaysUseHttps, hsts } = options;
  const { hstsSubdomains: all, hstsPreload: preload, nosniff } = options;
  if (hsts === undefined && (all ?? preload ?? nosniff) !== undefined) {
    throw new Failure("usage", {
      message: "--hsts-subdomains, --hsts-preload and --nosniff go with --hsts",
    });
  }
  if (hsts !== undefined && !/^(off|\d{1,9})$/.test(hsts)) {
    throw new Failure("usage", { message: `--hsts is seconds or off, and not "${hsts}"` });
  }
  const header = {
    enabled: hsts !== "off",
    max_age: hsts === "off" ? 0 : Number(hsts),
    include_subdomains: all === true,
    preload: preload === true,
    nosniff: nosniff === true,
  };
  return [
    ...(minTls === undefined ? [] : [{ id: "min_tls_version", value: minTls }]),
    ...(tls13 === undefined ? [] : [{ id: "tls_1_3", value: tls13 }]),
    ...(alwaysUseHttps === undefined ? [] : [{ id: "always_use_https", value: alwaysUseHttps }]),
    ...(hsts === undefined
      ? []
      : [{ id: "security_header", value: { strict_transport_security: header } }]),
  ];
}

/** Any name that may be a zone has an id, even before the zone is made. @throws Failure `usage` */
async function zoneId(api: ApiClient, name: string): Promise<string> {
  const query = new URLSearchParams({ name });
  const { result } = await api.callAbove<{ id: string }[]>("GET", `/zones?${query.toString()}`);
  const [zone] = result;
  if (zone !== undefined) return zone.id;
  throw new Failure("usage", { message: `"${name}" is not the name of a zone` });
}

/** Makes the zone first if it was not made yet. */
async function change(
  api: ApiClient,
  {
    id,
    name,
    items,
  }: { readonly id: string; readonly name: string; readonly items: readonly Setting[] },
): Promise<void> {
  const settle = (): Promise<unknown> => api.callAbove("PATCH", `/zones/${id}/settings`, { items });
  try {
    await settle();
  } catch (error) {
    if (!(error instanceof Failure) || error.code !== "zone_not_found") throw error;
    await api.callAbove("POST", "/zones", { name });
    await settle();
  }
}

function shown(value: unknown): string {
  if (typeof value === "string") return value;
  const { strict_transport_security: header } = value as SecurityHeader;
  const said = header.enabled
    ? [
        `max-age ${header.max_age}`,
        ...(header.include_subdomains ? ["with subdomains"] : []),
        ...(header.preload ? ["preload"] : []),
      ]
    : ["off"];
  return [...said, ...(header.nosniff ? ["nosniff"] : [])].join(", ");
}
