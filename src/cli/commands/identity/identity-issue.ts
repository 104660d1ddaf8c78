import { readFileSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { InvalidArgumentError, type Command } from "commander";
import { Failure } from "../../../failures/failures.ts";
import { colorsFor, writeJson, writeLine, type Io } from "../../../terminal/io.ts";
import { apiClient } from "../../client/api-client.ts";
import { confirm, yesOption } from "../../confirm.ts";
import { dataOption } from "../../data-option.ts";

interface Options {
  readonly data?: string;
  readonly json?: true;
}

interface Issued {
  readonly certificate: string;
  readonly serial_number: string;
  readonly spiffe_id: string;
  readonly expires_on: string;
}

const path = "/countersign/identity/certificates";

/** `countersign identity issue | withdraw`: identities for people and machines that are not Workers. */
export function addIdentityIssueCommands(identity: Command, io: Io): void {
  identity
    .command("issue")
    .description("a certificate of the account's CA for a person or a machine, from its request")
    .requiredOption("--csr <file>", "PKCS #10, PEM; its key stays where it was made")
    .option("--days <n>", "how long it is good, 1 to 365", parseDays, 30)
    .option("--out <file>", "write the chain there, instead of to stdout")
    .option(...dataOption)
    .option("--json", "one JSON object")
    .addHelpText(
      "after",
      `
Its SPIFFE ID ends in /client/NAME, and its subject is CN=NAME,OU=client,O=account: it is never a Worker's.

Examples:
  $ openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ada.key -out ada.csr -subj /CN=ada
  $ countersign identity issue --csr ada.csr --days 7 --out ada.crt`,
    )
    .action(async (options: Options & { csr: string; days: number; out?: string }) => {
      const csr = readRequest(io, options.csr);
      const api = await apiClient(io, options);
      const { result } = await api.call<Issued>("POST", path, { csr, validity_days: options.days });
      if (options.out !== undefined)
        writeFileSync(resolve(io.cwd, options.out), result.certificate);
      if (options.json) return writeJson(io.stdout, result);
      if (options.out === undefined) io.stdout.write(result.certificate);
      const done = colorsFor(io, io.stderr).green("✔");
      const { spiffe_id, expires_on, serial_number } = result;
      writeLine(io.stderr, `${done} ${spiffe_id} until ${expires_on}, serial ${serial_number}`);
    });
  identity
    .command("withdraw")
    .description("revoke what `identity issue` has issued")
    .argument("<serial>", "its serial number, hexadecimal")
    .option(...yesOption)
    .option(...dataOption)
    .option("--json", "one JSON object")
    .action(async (serial: string, options: Options & { yes?: true }) => {
      const api = await apiClient(io, options);
      await confirm(io, options, `Every origin refuses the certificate ${serial}.`);
      const one = `${path}/${encodeURIComponent(serial)}/revoke`;
      const { result } = await api.call<{ revoked_on: string }>("POST", one, {});
      if (options.json) return writeJson(io.stdout, result);
      const done = colorsFor(io, io.stdout).green("✔");
      writeLine(io.stdout, `${done} ${serial}: revoked ${result.revoked_on}`);
    });
}

function parseDays(text: string): number {
  const days = Number(text);
  if (Number.isInteger(days) && days >= 1 && days <= 365) return days;
  throw new InvalidArgumentError("It is a whole number from 1 to 365.");
}

function readRequest(io: Io, file: string): string {
  try {
    return readFileSync(resolve(io.cwd, file), "utf8");
  } catch (cause) {
    throw new Failure("file_missing", { message: `${file} cannot be read`, cause });
  }
}
