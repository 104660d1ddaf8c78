import type { Command } from "commander";
import type { CertificateFacts } from "../../../certificates/certificate-upload.ts";
import { colorsFor, writeJson, writeLine, type Io } from "../../../terminal/io.ts";
import {
  fileOptions,
  readFiles,
  type FileOptions,
  type ReadFiles,
} from "../../certificate-files.ts";
import { printWarnings } from "../../certificate-print.ts";

interface InspectOptions extends Omit<FileOptions, "cert"> {
  readonly ca?: true;
  readonly json?: true;
}

export function addCertificateInspect(group: Command, io: Io): void {
  const command = group
    .command("inspect")
    .description("judge a certificate's file as an upload would, without a platform")
    .argument("[file]", "the certificate with its chain, PEM; it may hold the key too");
  for (const option of fileOptions.slice(1)) command.option(...option);
  command
    .option("--ca", "it is a CA")
    .option("--json", "one JSON object")
    .addHelpText(
      "after",
      `
Nothing is sent anywhere. Exit status: 0 an upload would be taken, 1 it would not.

Examples:
  $ countersign certificate inspect cert.pem --key key.pem
  $ countersign certificate inspect --p12 client.p12
  $ countersign certificate inspect internal-ca.pem --ca`,
    )
    .action(async (file: string | undefined, options: InspectOptions) => {
      const files = await readFiles(io, { ...options, ...(file !== undefined && { cert: file }) });
      const { describeExpiry } = await import("../../../certificates/expiry.ts");
      const now = new Date();
      const { facts, warnings } = await judge(files, options.ca === true, now);
      const shown = {
        subject: facts.subject,
        issuer: facts.issuer,
        serial_number: facts.serialNumber,
        fingerprint: facts.fingerprint,
        key: facts.key,
        signature: facts.signature,
        names: facts.names,
        not_before: facts.notBefore.toISOString(),
        expires_on: facts.notAfter.toISOString(),
        expires: describeExpiry(facts.notAfter, now),
        warnings,
      };
      if (options.json) return writeJson(io.stdout, shown);
      printWarnings(io, warnings);
      const colors = colorsFor(io, io.stdout);
      for (const [name, value] of Object.entries(shown)) {
        if (name === "warnings") continue;
        const text = Array.isArray(value) ? value.join(", ") || "none" : String(value);
        writeLine(io.stdout, `  ${colors.dim(name.replaceAll("_", " ").padEnd(14))} ${text}`);
      }
    });
}

interface Judged {
  readonly facts: CertificateFacts;
  readonly warnings: readonly string[];
}

/** Judges the files as an upload would. Without a key, only the certificate is judged. @throws Failure */
async function judge(files: ReadFiles, ca: boolean, now: Date): Promise<Judged> {
  const { parseUpload } = await import("../../../certificates/parse.ts");
  const { certificates, private_key: privateKey } = files;
  if (ca || privateKey !== undefined || certificates.includes("PRIVATE KEY")) {
    const upload = { certificates, ca, now, ...(privateKey !== undefined && { privateKey }) };
    const { facts, warnings } = parseUpload({ ...upload, allowExpired: true });
    return { facts, warnings: warnings.map(({ message }) => message) };
  }
  const { readMaterial } = await import("../../../certificates/material.ts");
  const { readCertificate } = await import("../../../certificates/certificate.ts");
  const { factsOf } = await import("../../../certificates/facts.ts");
  const [first, ...more] = readMaterial({ certificates, ca, now }).certificates;
  const leaf = readCertificate(first!, 1);
  const chain = more.map((block, index) => readCertificate(block, index + 2));
  const warnings = ["no key was given: whether it fits was not judged"];
  return { facts: factsOf([leaf, ...chain]), warnings };
}
