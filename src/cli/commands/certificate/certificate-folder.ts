import type { Command } from "commander";
import { resolve } from "node:path";
import { Failure } from "../../../failures/failures.ts";
import { apiClient } from "../../client/api-client.ts";
import { findShown } from "../../client/certificate-api.ts";
import { dataFolderOf, dataOption } from "../../data-option.ts";
import { colorsFor, writeJson, writeLine, type Io } from "../../../terminal/io.ts";
import { platformClient } from "../../client/platform-client.ts";

interface FolderOptions {
  readonly data?: string;
  readonly certFile?: string;
  readonly keyFile?: string;
  readonly stop?: true;
  readonly json?: true;
}

export function addCertificateFolder(group: Command, io: Io): void {
  group
    .command("watch-folder")
    .description("take each new pair of files in a folder as a new version of a certificate")
    .argument("<certificate>", "its id or name")
    .argument("[folder]", "on the platform's machine: where cert-manager, certbot or step writes")
    .option("--cert-file <name>", "the certificate's file in the folder")
    .option("--key-file <name>", "the key's file in the folder")
    .option("--stop", "stop following a folder for this certificate")
    .option(...dataOption)
    .option("--json", "one JSON object")
    .addHelpText(
      "after",
      `
Without names, tls.crt with tls.key, fullchain.pem with privkey.pem, or one NAME.crt with NAME.key are read.
Files that are still being written, that do not match, or that have expired change nothing. The platform's
user has to be able to read them. Only on the platform's own machine.

Examples:
  $ countersign certificate watch-folder my-cert /etc/letsencrypt/live/example.com
  $ countersign certificate watch-folder my-cert --stop`,
    )
    .action(async (name: string, folder: string | undefined, options: FolderOptions) => {
      const data = dataFolderOf(io, options.data);
      const api = await apiClient(io, { data });
      const { id, name: title } = await findShown(api, name, "leaf");
      const platform = platformClient(data);
      const colors = colorsFor(io, io.stdout);
      if (options.stop) {
        const watched = await platform.unwatchFolder(id);
        if (options.json) return writeJson(io.stdout, { id, watched: false, before: watched });
        return writeLine(
          io.stdout,
          `${colors.green("✔")} no folder is followed for ${title ?? id}`,
        );
      }
      if (
        folder === undefined ||
        (options.certFile === undefined) !== (options.keyFile === undefined)
      ) {
        throw new Failure("usage", {
          message: "give a folder, and --cert-file and --key-file together or not at all",
        });
      }
      const path = resolve(io.cwd, folder);
      const { certFile: certificate, keyFile: key } = options;
      await platform.watchFolder({
        accountId: api.accountId,
        certificateId: id,
        folder: path,
        ...(certificate !== undefined && key !== undefined && { names: { certificate, key } }),
      });
      if (options.json) return writeJson(io.stdout, { id, watched: true, folder: path });
      writeLine(
        io.stdout,
        `${colors.green("✔")} what appears in ${path} becomes a version of ${title ?? id}`,
      );
    });
}
