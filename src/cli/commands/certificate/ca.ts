import type { Command } from "commander";
import { Failure } from "../../../failures/failures.ts";
import { apiClient } from "../../client/api-client.ts";
import { findShown, listShown, type ShownTrust } from "../../client/certificate-api.ts";
import { readFiles } from "../../certificate-files.ts";
import {
  describeTrust,
  printCertificate,
  printList,
  printWarnings,
} from "../../certificate-print.ts";
import { dataOption } from "../../data-option.ts";
import { colorsFor, writeJson, writeLine, type Io } from "../../../terminal/io.ts";

interface Common {
  readonly data?: string;
  readonly json?: true;
}

export function addCaCommand(program: Command, io: Io): void {
  const group = program.command("ca");
  group
    .command("list")
    .description("every CA, when it ends, and where it counts")
    .option(...dataOption)
    .option("--json", "one JSON array")
    .action(async (options: Common) => {
      const authorities = await listShown(await apiClient(io, options), "ca");
      if (options.json) return writeJson(io.stdout, authorities);
      printList(io, authorities);
    });
  group
    .command("show")
    .description("all facts about one CA")
    .argument("<ca>", "its id or name")
    .option(...dataOption)
    .option("--json", "one JSON object")
    .action(async (name: string, options: Common) => {
      const authority = await findShown(await apiClient(io, options), name, "ca");
      if (options.json) return writeJson(io.stdout, authority);
      printCertificate(io, authority, new Date());
    });
  addUpload(group, io);
  addTrust(group, io);
}

function addUpload(group: Command, io: Io): void {
  group
    .command("upload")
    .description("upload a CA, or several in one file; it counts for all origins of the account")
    .requiredOption("--cert <file>", "the CA certificate, PEM")
    .option("--name <name>", "a name for it, unique in the account")
    .option("--allow-expired", "store it though it has expired or is not valid yet")
    .option(...dataOption)
    .option("--json", "one JSON object")
    .addHelpText(
      "after",
      `
The same as \`wrangler cert upload certificate-authority\`. \`countersign certificate rotate\` replaces it.

Examples:
  $ countersign ca upload --cert internal-ca.pem --name internal
  $ countersign ca trust internal --host '*.internal.example.com'`,
    )
    .action(async (options: UploadOptions) => {
      const files = await readFiles(io, { cert: options.cert });
      const api = await apiClient(io, options);
      const { result, messages } = await api.call<{ id: string }>("POST", "/mtls_certificates", {
        ...files,
        ca: true,
        ...(options.name && { name: options.name }),
        ...(options.allowExpired && { allow_expired: true }),
      });
      printWarnings(io, messages);
      const authority = await findShown(api, result.id, "ca");
      if (options.json) return writeJson(io.stdout, authority);
      const colors = colorsFor(io, io.stdout);
      const { id, name, expires } = authority;
      writeLine(io.stdout, `${colors.green("✔")} ${name ?? id} uploaded (${id}), ${expires}`);
    });
}

interface UploadOptions extends Common {
  readonly cert: string;
  readonly name?: string;
  readonly allowExpired?: true;
}

function addTrust(group: Command, io: Io): void {
  group
    .command("trust")
    .description("say where a CA counts")
    .argument("<ca>", "its id or name")
    .option("--account", "for all origins of the account")
    .option("--certificate <certificate...>", "alone, for the origins that these are presented to")
    .option("--host <host...>", "for these hosts; `*.example.com` is any host below")
    .option("--spiffe-id <pattern...>", "alone, for hosts whose servers have such a SPIFFE ID")
    .option("--nowhere", "for no origin")
    .option(...dataOption)
    .option("--json", "one JSON object")
    .addHelpText(
      "after",
      `
A CA that is tied to a certificate, with any others tied to it, is all that verifies the certificate's
origins: public roots and the account's CAs do not count there. Each call replaces what was said before.

With --spiffe-id the hosts are of a service mesh (SPIRE, Istio, Linkerd): this CA, and others tied to them like
this, are all that verifies them, and the certificate's one SPIFFE ID counts in place of the host's name. \`*\`
stands for characters of one segment, \`**\` for any.

Examples:
  $ countersign ca trust internal --account
  $ countersign ca trust partner --certificate partner-cert
  $ countersign ca trust internal --host api.internal '*.corp.example.com'
  $ countersign ca trust mesh --host '*.mesh.internal' --spiffe-id 'spiffe://example.org/ns/prod/sa/*'`,
    )
    .action(async (name: string, options: TrustOptions) => {
      const { account, certificate = [], host = [], spiffeId = [], nowhere } = options;
      const ties = certificate.length > 0 || host.length > 0;
      if ([account === true, ties, nowhere === true].filter(Boolean).length !== 1) {
        throw new Failure("usage", {
          message: "give one of --account, --nowhere, or --certificate and --host",
        });
      }
      if (spiffeId.length > 0 && host.length === 0) {
        throw new Failure("usage", { message: "--spiffe-id is of hosts: give --host" });
      }
      const api = await apiClient(io, options);
      const { id } = await findShown(api, name, "ca");
      const certificates: string[] = [];
      for (const one of certificate) certificates.push((await findShown(api, one, "leaf")).id);
      const { result } = await api.call<{ id: string; trust: ShownTrust }>(
        "PUT",
        `/countersign/authorities/${id}/trust`,
        account
          ? { account: true }
          : {
              account: false,
              certificates,
              hosts: host,
              ...(spiffeId.length > 0 && { spiffe_ids: spiffeId }),
            },
      );
      if (options.json) return writeJson(io.stdout, result);
      const colors = colorsFor(io, io.stdout);
      writeLine(
        io.stdout,
        `${colors.green("✔")} ${name} counts for ${describeTrust(result.trust)}`,
      );
    });
}

interface TrustOptions extends Common {
  readonly account?: true;
  readonly certificate?: string[];
  readonly host?: string[];
  readonly spiffeId?: string[];
  readonly nowhere?: true;
}
