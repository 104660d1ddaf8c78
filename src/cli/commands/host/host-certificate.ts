import type { Command } from "commander";
import { resolve } from "node:path";
import { describeExpiry } from "../../../certificates/expiry.ts";
import { Failure } from "../../../failures/failures.ts";
import { colorsFor, writeJson, writeLine, type Io } from "../../../terminal/io.ts";
import { fileOptions, readFiles, type FileOptions } from "../../certificate-files.ts";
import { apiClient } from "../../client/api-client.ts";
import { findHost } from "../../client/host-api.ts";
import type { ShownHostCertificate } from "../../client/shown-host-certificate.ts";
import { platformClient } from "../../client/platform-client.ts";
import { dataFolderOf, dataOption } from "../../data-option.ts";

interface Options extends FileOptions {
  readonly data?: string;
  readonly json?: true;
  readonly delete?: true;
  readonly folder?: string;
}

export function addHostCertificate(group: Command, io: Io): void {
  const command = group
    .command("certificate")
    .description("a host's certificate: upload it, renew it, show it, delete it")
    .argument("<host>", "`api.example.com`, or `*.example.com` for any host below it");
  for (const option of fileOptions) command.option(...option);
  command
    .option(
      "--folder <folder>",
      "follow a folder on the platform's machine, where certbot or lego writes",
    )
    .option("--delete", "present this machine's own certificate again")
    .option(...dataOption)
    .option("--json", "one JSON object")
    .addHelpText(
      "after",
      `
It is presented at the next handshake; connections that are open stay open. Without a file it shows what is presented.
A folder is read now and again each second: what is renewed there is presented once certificate and key match. It holds
fullchain.pem with privkey.pem, tls.crt with tls.key, HOST.crt with HOST.key, or one NAME.crt with NAME.key, which the
platform's user has to be able to read. Uploading a file ends it, and so does --delete.

Examples:
  $ countersign host certificate api.example.com --cert fullchain.pem --key privkey.pem
  $ countersign host certificate api.example.com --folder /etc/letsencrypt/live/api.example.com
  $ countersign host certificate api.example.com
  $ countersign host certificate api.example.com --delete`,
    )
    .action(async (host: string, options: Options) => {
      const api = await apiClient(io, options);
      const path = `/countersign/hosts/${encodeURIComponent(host)}/certificate`;
      const done = colorsFor(io, io.stdout).green("✔");
      if (options.delete) {
        await api.call("DELETE", path);
        if (options.json) return writeJson(io.stdout, { host, deleted: true });
        return writeLine(io.stdout, `${done} ${host} presents this machine's own certificate`);
      }
      if (options.folder !== undefined) {
        const folder = resolve(io.cwd, options.folder);
        const { accountId } = api;
        const platform = platformClient(dataFolderOf(io, options.data));
        const result = await platform.followForHost({ accountId, host, folder });
        if (options.json) return writeJson(io.stdout, { ...result, folder });
        return writeLine(
          io.stdout,
          `${done} ${host} presents ${shown(result)}; ${folder} is followed`,
        );
      }
      if (options.cert === undefined && options.p12 === undefined) {
        const { certificate } = await findHost(api, host);
        if (options.json) return writeJson(io.stdout, certificate);
        const text = certificate === null ? "this machine's own certificate" : shown(certificate);
        return writeLine(io.stdout, `${host} presents ${text}`);
      }
      const { certificates: certificate, private_key } = await readFiles(io, options);
      if (private_key === undefined && !certificate.includes("PRIVATE KEY-----")) {
        throw new Failure("usage", {
          message: "--key FILE is needed: a host proves that it has it",
        });
      }
      const { result } = await api.call<ShownHostCertificate>("PUT", path, {
        certificate,
        private_key: private_key ?? certificate,
      });
      if (options.json) return writeJson(io.stdout, result);
      writeLine(io.stdout, `${done} ${host} presents ${shown(result)}`);
    });
}

function shown({ hosts, issuer, expires_on: ends }: ShownHostCertificate): string {
  const by = issuer === "" ? "" : ` of ${issuer}`;
  return `a certificate${by} for ${hosts.join(", ")}, which ${describeExpiry(new Date(ends), new Date())}`;
}
