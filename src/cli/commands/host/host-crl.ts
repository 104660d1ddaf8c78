import type { Command } from "commander";
import { apiClient } from "../../client/api-client.ts";
import type { ShownRevocationList } from "../../client/host-api.ts";
import { addRevocationList, listsPath } from "../../client/revocation-list-api.ts";
import { dataOption } from "../../data-option.ts";
import { describeList } from "../../revocation-list-text.ts";
import { Failure } from "../../../failures/failures.ts";
import { colorsFor, writeJson, writeLine, type Io } from "../../../terminal/io.ts";

interface Options {
  readonly data?: string;
  readonly json?: true;
  readonly delete?: string;
  readonly interval?: string;
}

export function addHostCrl(group: Command, io: Io): void {
  group
    .command("crl")
    .description("revocation lists of the CAs whose certificates clients present")
    .argument("[file-or-url]", "a list in PEM or DER, or a URL to fetch it from regularly")
    .option("--interval <seconds>", "how often a URL is asked, 60 to 86400 (default: 3600)")
    .option("--delete <id>", "forget a list: what it revoked counts again")
    .option(...dataOption)
    .option("--json", "one JSON object, or an array of all lists")
    .addHelpText(
      "after",
      `
A list is taken once its signature is of a CA of the account (\`countersign ca list\`). It counts at every host that asks for
certificates, from the next request on, on open connections too. A URL is asked again after the interval, and when the list
says that the next one is due; a list that is broken, older or cannot be fetched never replaces the one before. A file
replaces the file before of the same CA. Without an argument it shows all lists.

Examples:
  $ countersign host crl partners.crl
  $ countersign host crl https://pki.example.com/partners.crl --interval 600
  $ countersign host crl
  $ countersign host crl --delete 3d0f1c5e-7a52-4b8e-9f0e-0c2f7f2d8a11`,
    )
    .action(async (from: string | undefined, options: Options) => {
      const interval = readInterval(options.interval);
      const api = await apiClient(io, options);
      const colors = colorsFor(io, io.stdout);
      if (options.delete !== undefined) {
        const path = `${listsPath}/${encodeURIComponent(options.delete)}`;
        const { result } = await api.call<{ readonly id: string }>("DELETE", path);
        if (options.json) return writeJson(io.stdout, { id: result.id, deleted: true });
        return writeLine(io.stdout, `${colors.green("✔")} the list ${result.id} counts no more`);
      }
      if (from !== undefined) {
        const list = await addRevocationList(api, io, from, interval);
        if (options.json) return writeJson(io.stdout, list);
        return show(io, `${colors.green("✔")} `, list);
      }
      const { result } = await api.call<readonly ShownRevocationList[]>("GET", listsPath);
      if (options.json) return writeJson(io.stdout, result);
      if (result.length === 0) writeLine(io.stderr, "there is no revocation list");
      for (const list of result) show(io, `${list.id}  `, list);
    });
}

function show(io: Io, mark: string, list: ShownRevocationList): void {
  writeLine(io.stdout, `${mark}${describeList(list)}`);
  if (list.warning !== null) {
    writeLine(io.stdout, colorsFor(io, io.stdout).yellow(`  warning: ${list.warning}`));
  }
}

function readInterval(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const seconds = Number(text);
  if (Number.isInteger(seconds) && seconds >= 60 && seconds <= 86_400) return seconds;
  throw new Failure("usage", {
    message: `--interval "${text}" is not a number of seconds from 60 to 86400`,
  });
}
