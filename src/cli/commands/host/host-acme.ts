import { type Command, Option } from "commander";
import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import { describeExpiry } from "../../../certificates/expiry.ts";
import { Failure } from "../../../failures/failures.ts";
import { colorsFor, writeJson, writeLine, type Io } from "../../../terminal/io.ts";
import { apiClient } from "../../client/api-client.ts";
import type { ShownHostCertificate } from "../../client/shown-host-certificate.ts";
import { dataOption } from "../../data-option.ts";

interface Options {
  readonly data?: string;
  readonly json?: true;
  readonly directory?: string;
  readonly email?: string;
  readonly acceptTerms?: true;
  readonly ca?: string;
  readonly challenge?: string;
  readonly eabKid?: string;
  readonly eabKeyFile?: string;
}

export function addHostAcme(group: Command, io: Io): void {
  group
    .command("acme")
    .description("order a host's certificate from an ACME server, and renew it")
    .argument("<host>", "`api.example.com`; wildcards need a record in the DNS, and are refused")
    .option("--directory <url>", "of the ACME server (default: Let's Encrypt)")
    .option("--email <address>", "where the server writes to")
    .option("--accept-terms", "agree to the server's terms of service")
    .option("--ca <file>", "CAs that alone verify the ACME server, for a private one")
    .addOption(
      new Option(
        "--challenge <kind>",
        "how the host proves that it is yours: at port 80, or at port 443 in TLS (default: what the server offers, port 80 first)",
      ).choices(["http-01", "tls-alpn-01"]),
    )
    .option("--eab-kid <id>", "of an account with the operator of the server, which wants one")
    .option("--eab-key-file <file>", "its MAC key, base64url, as it was given to you")
    .option(...dataOption)
    .option("--json", "one JSON object")
    .addHelpText(
      "after",
      `
The server asks for a proof at http://HOST/.well-known/acme-challenge/, port 80, or with --challenge tls-alpn-01 in a
handshake at HOST's port 443. The ingress answers both: the host's DNS has to lead here. The key is made here. It is
renewed after two thirds of its life; what fails is tried again, and shown by \`countersign host show\` and \`countersign doctor\`.
\`countersign host certificate HOST --delete\` ends it, as an upload does.

Examples:
  $ countersign host acme api.example.com --email ops@example.com --accept-terms
  $ countersign host acme api.example.com --challenge tls-alpn-01 --accept-terms
  $ countersign host acme api.example.com --directory https://acme.zerossl.com/v2/DV90 \\
      --accept-terms --eab-kid KID --eab-key-file eab.key
  $ countersign host acme api.example.internal --directory https://ca.internal/acme/acme/directory --ca root.pem`,
    )
    .action(async (host: string, options: Options) => {
      const { directory, email, acceptTerms, ca, challenge } = options;
      const external = await externalAccount(io, options);
      const authority = ca === undefined ? undefined : await readAuthority(resolve(io.cwd, ca));
      const api = await apiClient(io, options);
      const path = `/countersign/hosts/${encodeURIComponent(host)}/acme`;
      const { result } = await api.call<ShownHostCertificate>("PUT", path, {
        ...(directory !== undefined && { directory }),
        ...(email !== undefined && { email }),
        ...(authority !== undefined && { authority }),
        ...(challenge !== undefined && { challenge }),
        ...(external !== null && { external_account: external }),
        accept_terms: acceptTerms === true,
      });
      if (options.json) return writeJson(io.stdout, result);
      const done = colorsFor(io, io.stdout).green("✔");
      const by = result.issuer === "" ? "" : ` of ${result.issuer}`;
      const ends = describeExpiry(new Date(result.expires_on), new Date());
      writeLine(
        io.stdout,
        `${done} ${host} presents a certificate${by}, which ${ends}; it is renewed`,
      );
    });
}

async function readAuthority(path: string): Promise<string> {
  return readFile(path, "utf8").catch((cause: unknown) => {
    throw new Failure("usage", { message: `the CA file "${path}" cannot be read`, cause });
  });
}

/** The key is read from a file, because other users of the machine can see a command line. */
async function externalAccount(
  io: Io,
  { eabKid: kid, eabKeyFile: file }: Options,
): Promise<{ readonly kid: string; readonly hmac_key: string } | null> {
  if (kid === undefined && file === undefined) return null;
  if (kid === undefined || file === undefined) {
    throw new Failure("usage", { message: "--eab-kid and --eab-key-file go together" });
  }
  const text = await readFile(resolve(io.cwd, file), "utf8").catch((cause: unknown) => {
    throw new Failure("usage", { message: `the file "${file}" cannot be read`, cause });
  });
  return { kid, hmac_key: text.trim() };
}
