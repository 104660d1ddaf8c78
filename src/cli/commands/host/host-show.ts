import type { Command } from "commander";
import { describeExpiry } from "../../../certificates/expiry.ts";
import { colorsFor, writeJson, writeLine, type Io } from "../../../terminal/io.ts";
import { writeTable } from "../../../terminal/table.ts";
import { apiClient } from "../../client/api-client.ts";
import { authorityNames } from "../../client/certificate-api.ts";
import { findHost, listHosts, presentedTo, type ShownHost } from "../../client/host-api.ts";
import { describeList } from "../../revocation-list-text.ts";
import { dataOption } from "../../data-option.ts";

interface Common {
  readonly data?: string;
  readonly json?: true;
}

export function addHostReading(group: Command, io: Io): void {
  group
    .command("list")
    .description("hosts, what answers there, what they present and what they ask of clients")
    .option(...dataOption)
    .option("--json", "one JSON array")
    .action(async (options: Common) => {
      const hosts = await listHosts(await apiClient(io, options));
      if (options.json) return writeJson(io.stdout, hosts);
      if (hosts.length === 0) {
        writeLine(io.stderr, "nothing was said of any host: Workers answer at *.localhost");
        return;
      }
      const now = new Date();
      const rows = hosts.map((host) => [
        host.host,
        workersOf(host) || host.origin?.to || "none",
        presented(host, now),
        host.clients.mode,
        host.access.map(({ name }) => name).join(", ") || "none",
      ]);
      writeTable(io, ["HOST", "ANSWERS", "CERTIFICATE", "CLIENTS", "ACCESS"], rows);
    });
  group
    .command("show")
    .description("all settings of one host, from its own name or a wildcard")
    .argument("<host>", "`api.example.com`")
    .option(...dataOption)
    .option("--json", "one JSON object")
    .addHelpText("after", "\nExample:\n  $ countersign host show api.example.com")
    .action(async (name: string, options: Common) => {
      const api = await apiClient(io, options);
      const host = await findHost(api, name);
      if (options.json) return writeJson(io.stdout, host);
      printHost(io, host, await authorityNames(api, host.clients.authorities));
    });
}

/**
 * Prints a host, for `host show` and `host test`.
 * @param authorities the CAs of its clients, by name
 */
export function printHost(io: Io, host: ShownHost, authorities: readonly string[]): void {
  const colors = colorsFor(io, io.stdout);
  const row = (name: string, value: string): void =>
    writeLine(io.stdout, `  ${colors.dim(name.padEnd(11))} ${value}`);
  writeLine(io.stdout, host.host);
  row("workers", workersOf(host) || (host.origin ? "none" : "none: what is not routed is a 404"));
  if (host.origin) {
    row("origin", `${host.origin.to} (${host.origin.from})`);
    row("", `gets ${presentedTo(host.origin)}`);
  }
  row("presents", presented(host, new Date()));
  if (host.certificate_warning !== null) {
    row("", colors.yellow(`warning: ${host.certificate_warning}`));
  }
  if (host.certificate) row("for", host.certificate.hosts.join(", "));
  const { mode, forward } = host.clients;
  const of = authorities.length === 0 ? "no CA at all" : authorities.join(", ");
  row("clients", mode === "off" ? "no certificate is asked for" : `${mode}, of ${of}`);
  if (forward) row("", "its Worker gets `Client-Cert`");
  for (const list of host.revocation_lists) {
    row("crl", describeList(list));
    if (list.warning !== null) row("", colors.yellow(`warning: ${list.warning}`));
  }
  row("access", host.access.map(({ name, domain }) => `${name} (${domain})`).join(", ") || "none");
}

function workersOf({ workers }: ShownHost): string {
  return workers.map(({ script, pattern }) => `${script} (${pattern})`).join(", ");
}

function presented(host: ShownHost, now: Date): string {
  const { certificate, certificate_source: source, certificate_warning: warning } = host;
  if (certificate === null) return "this machine's own";
  const ends = describeExpiry(new Date(certificate.expires_on), now);
  const by = certificate.issuer === "" ? "uploaded" : certificate.issuer;
  return `${by}, ${ends}${RENEWED[source ?? "upload"]}${warning === null ? "" : `, not renewed: ${warning.split(":")[0]}`}`;
}

const RENEWED = {
  upload: "",
  folder: ", from a folder that is followed",
  acme: ", renewed by ACME",
} as const;
