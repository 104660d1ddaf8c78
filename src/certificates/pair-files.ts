import { createHash } from "node:crypto";
import { constants } from "node:fs";
import { open, readdir, type FileHandle } from "node:fs/promises";
import { join } from "node:path";
import { Failure } from "../failures/failures.ts";

/** The files of one pair, by name within their folder. */
export interface PairNames {
  readonly certificate: string;
  readonly key: string;
}

export interface PairContent {
  /** Bytes, which can be wiped. */
  readonly certificate: Buffer;
  readonly key: Buffer;
  /** Equal if and only if both files are. */
  readonly hash: string;
}

/** The writers whose names are fixed: cert-manager and every Kubernetes TLS secret, then certbot. */
const wellKnown: readonly PairNames[] = [
  { certificate: "tls.crt", key: "tls.key" },
  { certificate: "fullchain.pem", key: "privkey.pem" },
];
const MAXIMUM_BYTES = 64 * 1024;

/**
 * Reads both files as they are now, which may be in the middle of a change.
 * @param names Default: those of cert-manager or certbot, else the only `NAME.crt` with a `NAME.key`
 * @throws Failure `folder_unreadable` or `upload_too_large`
 */
export async function readPair(folder: string, names?: PairNames): Promise<PairContent> {
  const { certificate, key } = names ?? (await findPair(folder));
  const contents = { certificate: await read(folder, certificate), key: await read(folder, key) };
  const hash = createHash("sha256");
  for (const { length } of Object.values(contents)) hash.update(`${length} `);
  for (const bytes of Object.values(contents)) hash.update(bytes);
  return { ...contents, hash: hash.digest("hex") };
}

export function wipe({ certificate, key }: Pick<PairContent, "certificate" | "key">): void {
  certificate.fill(0);
  key.fill(0);
}

/** @throws Failure `folder_unreadable` */
export async function listFolder(folder: string): Promise<readonly string[]> {
  try {
    return await readdir(folder);
  } catch (cause) {
    throw unreadable(folder, cause);
  }
}

async function findPair(folder: string): Promise<PairNames> {
  const present = new Set(await listFolder(folder));
  const known = wellKnown.find(
    ({ certificate, key }) => present.has(certificate) && present.has(key),
  );
  if (known !== undefined) return known;
  const bases = [...present]
    .filter((name) => name.endsWith(".crt"))
    .map((name) => name.slice(0, -".crt".length))
    .filter((base) => present.has(`${base}.key`));
  const [base, ...others] = bases;
  if (base !== undefined && others.length === 0) {
    return { certificate: `${base}.crt`, key: `${base}.key` };
  }
  const what = base === undefined ? "no pair" : `${bases.length} pairs`;
  throw new Failure("folder_unreadable", {
    message: `"${folder}" holds ${what} of a certificate and its key`,
    fix: "Name the two files. Without names, `tls.crt` with `tls.key`, `fullchain.pem` with `privkey.pem`, or one `NAME.crt` with `NAME.key` are read.",
    facts: { folder, names: [...present] },
  });
}

function read(folder: string, name: string): Promise<Buffer> {
  return readSmallFile(join(folder, name));
}

/**
 * Reads a file of at most 64 KiB that somebody else writes, and waits for nobody.
 * @returns bytes, which can be wiped
 * @throws Failure `folder_unreadable` or `upload_too_large`
 */
export async function readSmallFile(path: string): Promise<Buffer> {
  try {
    // A named pipe would otherwise be waited for until somebody writes into it.
    await using file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const stats = await file.stat();
    if (!stats.isFile()) throw new Error("it is no file");
    const { size } = stats;
    if (size > MAXIMUM_BYTES) {
      throw new Failure("upload_too_large", {
        message: `"${path}" has ${size} bytes where ${MAXIMUM_BYTES} are allowed`,
        facts: { path, size },
      });
    }
    return await readAll(file, size);
  } catch (error) {
    throw error instanceof Failure ? error : unreadable(path, error);
  }
}

/** Into one buffer of our own: `readFile` leaves others behind that nobody can wipe. */
async function readAll(file: FileHandle, size: number): Promise<Buffer> {
  const bytes = Buffer.alloc(size);
  let filled = 0;
  while (filled < size) {
    const { bytesRead } = await file.read(bytes, filled, size - filled, filled);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return bytes.subarray(0, filled);
}

function unreadable(path: string, cause: unknown): Failure {
  return new Failure("folder_unreadable", {
    message: `"${path}" cannot be read: ${(cause as Error).message}`,
    cause,
    facts: { path },
  });
}
