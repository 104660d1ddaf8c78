import type { Command } from "commander";
import { Failure } from "../../../failures/failures.ts";
import { apiClient, type ApiClient } from "../../client/api-client.ts";
import {
  findShown,
  listShown,
  type ShownCertificate,
  type ShownVersion,
} from "../../client/certificate-api.ts";
import { addCertificateChanges } from "./certificate-change.ts";
import { fileOptions, readFiles, type FileOptions } from "../../certificate-files.ts";
import { addCertificateInspect } from "./certificate-inspect.ts";
import { addCertificateFolder } from "./certificate-folder.ts";
import {
  printCertificate,
  printList,
  printVersions,
  printWarnings,
} from "../../certificate-print.ts";
import { addCertificateTest } from "./certificate-test.ts";
import { addCertificateWebhook } from "./certificate-webhook.ts";
import { dataOption } from "../../data-option.ts";
import { colorsFor, writeJson, writeLine, type Io } from "../../../terminal/io.ts";

interface Common {
  readonly data?: string;
  readonly json?: true;
}

export function addCertificateCommand(program: Command, io: Io): void {
  const group = program.command("certificate");
  addReading(group, io);
  addUpload(group, io);
  addCertificateInspect(group, io);
  addCertificateChanges(group, io);
  addCertificateFolder(group, io);
  addCertificateTest(group, io);
  addCertificateWebhook(group, io);
}

function addReading(group: Command, io: Io): void {
  group
    .command("list")
    .description("every certificate, when it ends, and which Workers bind it")
    .option(...dataOption)
    .option("--json", "one JSON array")
    .action(async (options: Common) => {
      const certificates = await listShown(await apiClient(io, options), "leaf");
      if (options.json) return writeJson(io.stdout, certificates);
      printList(io, certificates);
    });
  group
    .command("show")
    .description("all facts about one certificate")
    .argument("<certificate>", "its id or name")
    .option(...dataOption)
    .option("--json", "one JSON object")
    .action(async (name: string, options: Common) => {
      const certificate = await findShown(await apiClient(io, options), name);
      if (options.json) return writeJson(io.stdout, certificate);
      printCertificate(io, certificate, new Date());
    });
  group
    .command("versions")
    .description("the versions of a certificate, newest first")
    .argument("<certificate>", "its id or name")
    .option(...dataOption)
    .option("--json", "one JSON array")
    .action(async (name: string, options: Common) => {
      const api = await apiClient(io, options);
      const versions = await versionsOf(api, await findShown(api, name));
      if (options.json) return writeJson(io.stdout, versions);
      printVersions(io, versions);
    });
  group
    .command("export")
    .description(
      "print the certificate with its chain, PEM; a private key never leaves the platform",
    )
    .argument("<certificate>", "its id or name")
    .option("--version <n>", "another version than the active one")
    .option(...dataOption)
    .option("--json", "one JSON object: version, certificates")
    .addHelpText(
      "after",
      `
Examples:
  $ countersign certificate export my-cert > my-cert.pem
  $ countersign certificate export my-cert --version 2 | openssl x509 -noout -text`,
    )
    .action(async (name: string, options: Common & { readonly version?: string }) => {
      const api = await apiClient(io, options);
      const certificate = await findShown(api, name);
      const versions = await versionsOf(api, certificate);
      const number = Number(options.version ?? certificate.version);
      const found = versions.find(({ version }) => version === number);
      if (!found) {
        throw new Failure("certificate_version_not_found", {
          message: `certificate ${certificate.name ?? certificate.id} has no version ${options.version}`,
        });
      }
      const { version, certificates } = found;
      if (options.json) return writeJson(io.stdout, { version, certificates });
      io.stdout.write(certificates);
    });
}

function addUpload(group: Command, io: Io): void {
  const command = group
    .command("upload")
    .description("upload a certificate with its key, from PEM or PKCS #12")
    .option("--name <name>", "a name for it, unique in the account");
  for (const option of fileOptions) command.option(...option);
  command
    .option("--allow-expired", "store it though it has expired or is not valid yet")
    .option(...dataOption)
    .option("--json", "one JSON object")
    .addHelpText(
      "after",
      `
The same as \`wrangler mtls-certificate upload\`, which does not read encrypted keys and PKCS #12: these are
opened on this machine, and their passphrase does not leave it.

Examples:
  $ countersign certificate upload --name my-cert --cert cert.pem --key key.pem
  $ countersign certificate upload --name my-cert --p12 client.p12`,
    )
    .action(async (options: UploadOptions) => {
      const files = await readFiles(io, options);
      const api = await apiClient(io, options);
      const { result, messages } = await api.call<{ id: string }>("POST", "/mtls_certificates", {
        ...files,
        ca: false,
        ...(options.name && { name: options.name }),
        ...(options.allowExpired && { allow_expired: true }),
      });
      printWarnings(io, messages);
      const certificate = await findShown(api, result.id);
      if (options.json) return writeJson(io.stdout, certificate);
      const colors = colorsFor(io, io.stdout);
      const { id, name, expires } = certificate;
      writeLine(io.stdout, `${colors.green("✔")} ${name ?? id} uploaded, ${expires}`);
      writeLine(
        io.stdout,
        `  bind it: "mtls_certificates": [{ "binding": "MY_CERT", "certificate_id": "${id}" }]`,
      );
    });
}

interface UploadOptions extends Common, FileOptions {
  readonly name?: string;
  readonly allowExpired?: true;
}

async function versionsOf(
  api: ApiClient,
  { id }: ShownCertificate,
): Promise<readonly ShownVersion[]> {
  return (await api.call<ShownVersion[]>("GET", `/countersign/certificates/${id}/versions`)).result;
}
