import type { Command } from "commander";
import { Failure } from "../../../failures/failures.ts";
import { apiClient } from "../../client/api-client.ts";
import {
  findShown,
  type ShownCertificate,
  type ShownVersion,
} from "../../client/certificate-api.ts";
import { fileOptions, readFiles, type FileOptions } from "../../certificate-files.ts";
import { printWarnings } from "../../certificate-print.ts";
import { confirm, yesOption } from "../../confirm.ts";
import { dataOption } from "../../data-option.ts";
import { colorsFor, writeJson, writeLine, type Io } from "../../../terminal/io.ts";

interface Common {
  readonly data?: string;
  readonly json?: true;
}

/** Commands that change an existing certificate. */
export function addCertificateChanges(group: Command, io: Io): void {
  addRotate(group, io);
  addActivation(group, io);
  addRevoke(group, io);
  addDelete(group, io);
  addSettings(group, io);
}

function addRotate(group: Command, io: Io): void {
  const command = group
    .command("rotate")
    .description("replace a certificate by a new version: its id stays, nothing is deployed")
    .argument("<certificate>", "its id or name");
  for (const option of fileOptions) command.option(...option);
  command
    .option("--allow-expired", "take it though it has expired or is not valid yet")
    .option("--no-activate", "store the version only; `activate` presents it later")
    .option(...dataOption)
    .option("--json", "one JSON object")
    .addHelpText(
      "after",
      `
New connections present the new version as soon as this command ends; requests in flight finish on the old
one. A version that is refused changes nothing. Works for a CA too (--cert alone).

Examples:
  $ countersign certificate rotate my-cert --cert cert.pem --key key.pem
  $ countersign certificate rotate my-cert --p12 renewed.p12
  $ countersign certificate rollback my-cert`,
    )
    .action(async (name: string, options: RotateOptions) => {
      const files = await readFiles(io, options);
      const api = await apiClient(io, options);
      const certificate = await findShown(api, name);
      const path = `/countersign/certificates/${certificate.id}/versions`;
      const { result, messages } = await api.call<ShownVersion>("POST", path, {
        ...files,
        activate: options.activate,
        ...(options.allowExpired && { allow_expired: true }),
      });
      printWarnings(io, messages);
      printChange(io, options, certificate, result);
    });
}

interface RotateOptions extends Common, FileOptions {
  readonly allowExpired?: true;
  readonly activate: boolean;
}

function addActivation(group: Command, io: Io): void {
  group
    .command("rollback")
    .description("present the version that was in force before again")
    .argument("<certificate>", "its id or name")
    .option(...dataOption)
    .option("--json", "one JSON object")
    .action(async (name: string, options: Common) => {
      const api = await apiClient(io, options);
      const certificate = await findShown(api, name);
      const path = `/countersign/certificates/${certificate.id}/rollback`;
      const { result } = await api.call<ShownVersion>("POST", path);
      printChange(io, options, certificate, result, `, as before version ${certificate.version}`);
    });
  group
    .command("activate")
    .description("present a version that is stored")
    .argument("<certificate>", "its id or name")
    .argument("<version>", "its number")
    .option("--allow-expired", "though it has expired")
    .option(...dataOption)
    .option("--json", "one JSON object")
    .action(
      async (name: string, text: string, options: Common & { readonly allowExpired?: true }) => {
        const number = versionNumber(text);
        const api = await apiClient(io, options);
        const certificate = await findShown(api, name);
        const path = `/countersign/certificates/${certificate.id}/versions/${number}/activate`;
        const body = { allow_expired: options.allowExpired === true };
        const { result } = await api.call<ShownVersion>("POST", path, body);
        printChange(io, options, certificate, result);
      },
    );
}

function addRevoke(group: Command, io: Io): void {
  group
    .command("revoke")
    .description("never present a certificate again, and cut its connections at once")
    .argument("<certificate>", "its id or name")
    .option("--version <n>", "this version only; default: every version there is")
    .option(...yesOption)
    .option(...dataOption)
    .option("--json", "one JSON object")
    .addHelpText(
      "after",
      `
For a key that others may know. It cannot be undone; \`rotate\` puts a new version in its place. The CA that
issued it is not told: revoke it there too.

Examples:
  $ countersign certificate revoke my-cert
  $ countersign certificate revoke my-cert --version 2 --yes`,
    )
    .action(async (name: string, options: RevokeOptions) => {
      const api = await apiClient(io, options);
      const certificate = await findShown(api, name);
      await confirm(io, options, whatBreaks(certificate, options.version));
      const { result } = await api.call<Revoked>(
        "POST",
        `/countersign/certificates/${certificate.id}/revoke`,
        options.version === undefined ? {} : { version: versionNumber(options.version) },
      );
      if (options.json) return writeJson(io.stdout, result);
      const colors = colorsFor(io, io.stdout);
      const { revoked, presented } = result;
      const what = `version${revoked.length === 1 ? "" : "s"} ${revoked.join(", ")}`;
      writeLine(
        io.stdout,
        `${colors.green("✔")} ${what} of ${certificate.name ?? certificate.id} revoked`,
      );
      const then =
        presented === null
          ? "its bindings answer with an error until there is a new version"
          : `version ${presented} is presented`;
      writeLine(io.stdout, `  ${then}`);
    });
}

interface RevokeOptions extends Common {
  readonly version?: string;
  readonly yes?: true;
}

function whatBreaks({ name, id, scripts, version }: ShownCertificate, only?: string): string {
  const what = only === undefined ? "every version" : `version ${only}`;
  const bound = scripts.length > 0 && (only === undefined || Number(only) === version);
  const breaks = bound
    ? `, and breaks the ${scripts.length === 1 ? "Worker that binds" : "Workers that bind"} it: ${scripts.join(", ")}`
    : "";
  return `This revokes ${what} of ${name ?? id} for good${breaks}`;
}

function addDelete(group: Command, io: Io): void {
  group
    .command("delete")
    .description("delete a certificate or CA that no Worker binds, with every version and its keys")
    .argument("<certificate>", "its id or name")
    .option(...yesOption)
    .option(...dataOption)
    .option("--json", "one JSON object")
    .action(async (name: string, options: Common & { readonly yes?: true }) => {
      const api = await apiClient(io, options);
      const { id, name: title } = await findShown(api, name);
      await confirm(
        io,
        options,
        `This deletes ${title ?? id} with every version and its keys for good`,
      );
      await api.call("DELETE", `/mtls_certificates/${id}`);
      if (options.json) return writeJson(io.stdout, { id, deleted: true });
      writeLine(io.stdout, `${colorsFor(io, io.stdout).green("✔")} ${title ?? id} is deleted`);
    });
}

interface Revoked {
  readonly id: string;
  readonly revoked: readonly number[];
  readonly presented: number | null;
}

function addSettings(group: Command, io: Io): void {
  group
    .command("set")
    .description("name a certificate, or say which hosts it may be presented to")
    .argument("<certificate>", "its id or name")
    .option("--name <name>", "its name from now on")
    .option(
      "--allow-host <host...>",
      "the hosts it may be presented to; `*.example.com` is any below",
    )
    .option("--allow-any-host", "it may be presented to any host")
    .option(...dataOption)
    .option("--json", "one JSON object")
    .addHelpText(
      "after",
      `
Examples:
  $ countersign certificate set my-cert --allow-host api.example.com '*.internal.example.com'
  $ countersign certificate set my-cert --allow-any-host --name other-name`,
    )
    .action(async (name: string, options: SettingsOptions) => {
      const hosts = options.allowAnyHost ? null : options.allowHost;
      if (hosts === undefined && options.name === undefined) {
        throw new Failure("usage", {
          message: "nothing to set: give --name, --allow-host or --allow-any-host",
        });
      }
      const api = await apiClient(io, options);
      const { id } = await findShown(api, name);
      const { result } = await api.call<ShownCertificate>(
        "PATCH",
        `/countersign/certificates/${id}`,
        {
          ...(options.name !== undefined && { name: options.name }),
          ...(hosts !== undefined && { allowed_hosts: hosts }),
        },
      );
      if (options.json) return writeJson(io.stdout, result);
      const colors = colorsFor(io, io.stdout);
      const where = result.allowed_hosts?.join(", ") ?? "any host";
      writeLine(io.stdout, `${colors.green("✔")} ${result.name ?? id} is presented to ${where}`);
    });
}

interface SettingsOptions extends Common {
  readonly name?: string;
  readonly allowHost?: string[];
  readonly allowAnyHost?: true;
}

function printChange(
  io: Io,
  options: Common,
  certificate: ShownCertificate,
  version: ShownVersion,
  again = "",
): void {
  if (options.json) return writeJson(io.stdout, { id: certificate.id, ...version });
  const colors = colorsFor(io, io.stdout);
  const what = version.active ? `is in force${again}` : "is stored, and not presented yet";
  writeLine(
    io.stdout,
    `${colors.green("✔")} version ${version.version} of ${certificate.name ?? certificate.id} ${what}, ${version.expires}`,
  );
}

function versionNumber(text: string): number {
  if (/^[1-9]\d{0,8}$/.test(text)) return Number(text);
  throw new Failure("usage", { message: `"${text}" is not the number of a version` });
}
