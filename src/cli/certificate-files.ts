import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import type { UploadField } from "../certificates/pem.ts";
import { Failure } from "../failures/failures.ts";
import type { Io } from "../terminal/io.ts";
import { askPassphrase } from "./prompt.ts";

export interface FileOptions {
  readonly cert?: string;
  readonly key?: string;
  readonly p12?: string;
  readonly passphraseFile?: string;
}

/** The files' content for the API: PEM, with the key in clear. The platform seals it on arrival. */
export interface ReadFiles {
  readonly certificates: string;
  readonly private_key?: string;
}

export const fileOptions: readonly (readonly [string, string])[] = [
  ["--cert <file>", "the certificate with its chain, PEM; it may hold the key too"],
  ["--key <file>", "the private key, PEM; asked for its passphrase if it is encrypted"],
  ["--p12 <file>", "a PKCS #12 file (.p12, .pfx) instead of the two"],
  ["--passphrase-file <file>", "read the passphrase from a file (or set COUNTERSIGN_PASSPHRASE)"],
];

/**
 * Reads the files, and decrypts those with a passphrase here, so the passphrase never leaves this machine.
 * @throws Failure `usage`, `passphrase_wrong`, `p12_malformed`, `encryption_unsupported`
 */
export async function readFiles(io: Io, options: FileOptions): Promise<ReadFiles> {
  const { cert, key, p12 } = options;
  if (p12 !== undefined && cert === undefined && key === undefined) return readP12File(io, options);
  if (cert === undefined || p12 !== undefined) {
    throw new Failure("usage", {
      message:
        "either --cert FILE, with --key FILE unless it holds the key, or --p12 FILE is needed",
    });
  }
  const certificates = await readPem(io, cert, "certificates", options);
  if (key === undefined) return { certificates };
  return { certificates, private_key: await readPem(io, key, "private_key", options) };
}

async function readP12File(io: Io, options: FileOptions): Promise<ReadFiles> {
  const file = options.p12 ?? "";
  const bytes = readFile(io, file);
  const { readP12 } = await import("../certificates/p12.ts");
  const { certificates, privateKey } = readP12(bytes, await passphrase(io, file, options));
  return { certificates, private_key: privateKey };
}

async function readPem(
  io: Io,
  file: string,
  field: UploadField,
  options: FileOptions,
): Promise<string> {
  const text = readFile(io, file).toString("utf8");
  // A file that is not PEM is sent unchanged: the platform's error says what is wrong with it.
  if (!text.includes("ENCRYPTED")) return text;
  const { decryptKeys, hasEncryptedKey } = await import("../certificates/decrypt.ts");
  if (!hasEncryptedKey(text, field)) return text;
  return decryptKeys(text, field, await passphrase(io, file, options));
}

async function passphrase(io: Io, file: string, options: FileOptions): Promise<string> {
  const given = options.passphraseFile;
  if (given === undefined) return askPassphrase(io, file);
  return readFile(io, given)
    .toString("utf8")
    .replace(/\r?\n$/, "");
}

function readFile(io: Io, file: string): Buffer {
  try {
    return readFileSync(resolve(io.cwd, file));
  } catch (cause) {
    throw new Failure("usage", {
      message: `the file "${file}" cannot be read: ${(cause as NodeJS.ErrnoException).code}`,
      fix: "Name a file that is there and that you can read.",
      cause,
    });
  }
}
