import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { Keyring } from "./seal.ts";
import { Failure } from "../failures/failures.ts";

/** The variables that say where the master key is. At most one is set. */
export interface MasterKeyVariables {
  /** `COUNTERSIGN_MASTER_KEY`: the key, base64 or 64 hex digits. */
  readonly key?: string | undefined;
  /** `COUNTERSIGN_MASTER_KEY_FILE`: a file that holds it, as Docker and systemd provide secrets. */
  readonly file?: string | undefined;
  /** `COUNTERSIGN_MASTER_KEY_COMMAND`: a shell command that prints it: Vault, a KMS, `age`. */
  readonly command?: string | undefined;
}

export interface LoadedMasterKey {
  /** 32 bytes. */
  readonly key: Buffer;
  /** Whether it is the file in the data folder, which Countersign may replace. */
  readonly inFolder: boolean;
  /** `COUNTERSIGN_MASTER_KEY`, `the file "…"`: for messages. */
  readonly from: string;
}

/** The variables of an environment. An empty one is not set. */
export function masterKeyVariables(
  env: Readonly<Record<string, string | undefined>>,
): MasterKeyVariables {
  return {
    key: env["COUNTERSIGN_MASTER_KEY"] || undefined,
    file: env["COUNTERSIGN_MASTER_KEY_FILE"] || undefined,
    command: env["COUNTERSIGN_MASTER_KEY_COMMAND"] || undefined,
  };
}

/**
 * The 32 bytes that seal every key and secret: from where the variables say, else from the file
 * `master.key` in the data folder, which the first start makes (0600).
 * @param wanted the id of the key that the data was sealed with. Null: there is no data yet, and
 * only then may a key be made
 * @throws Failure `master_key_malformed`, `master_key_missing`, `master_key_exposed`,
 * `master_key_command_failed`, `master_key_source_ambiguous`
 */
export async function loadMasterKey(options: {
  readonly dataFolder: string;
  readonly variables: MasterKeyVariables;
  readonly wanted: string | null;
}): Promise<LoadedMasterKey> {
  const { dataFolder, variables, wanted } = options;
  const given = await readGivenKey(variables);
  if (given) return { ...given, inFolder: false };
  const file = join(dataFolder, "master.key");
  const from = `the file "${file}"`;
  finishChange(dataFolder, wanted);
  const text = readKeyFile(file);
  if (text !== null) return { key: parseMasterKey(text, from), inFolder: true, from };
  if (wanted !== null) {
    throw new Failure("master_key_missing", {
      message: `the data folder "${dataFolder}" has records sealed with master key ${wanted}, but there is no master key`,
      facts: { masterKeyId: wanted },
    });
  }
  return { key: writeKeyFile(file, randomBytes(32)), inFolder: true, from };
}

/**
 * The key that the variables give. Null: none is set.
 * @throws Failure `master_key_malformed`, `master_key_missing` for a file that is not there,
 * `master_key_command_failed`, `master_key_source_ambiguous`
 */
export async function readGivenKey(
  variables: MasterKeyVariables,
): Promise<{ readonly key: Buffer; readonly from: string } | null> {
  const { key, file, command } = variables;
  if ([key, file, command].filter((one) => one !== undefined).length > 1) {
    throw new Failure("master_key_source_ambiguous");
  }
  if (key !== undefined) return parsed(key, "COUNTERSIGN_MASTER_KEY");
  if (file !== undefined) return parsed(readGivenFile(file), `the file "${file}"`);
  if (command !== undefined) return parsed(await runCommand(command), "the master key command");
  return null;
}

export function parseMasterKey(text: string, from: string): Buffer {
  const trimmed = text.trim();
  const key = /^[0-9a-f]{64}$/i.test(trimmed)
    ? Buffer.from(trimmed, "hex")
    : /^[A-Za-z0-9+/_-]{43}=?$/.test(trimmed)
      ? Buffer.from(trimmed, "base64")
      : null;
  if (key?.length !== 32) {
    throw new Failure("master_key_malformed", {
      message: `the master key in ${from} is neither base64 of 32 bytes nor 64 hex digits`,
    });
  }
  return key;
}

/** Stores the new key beside the current one: it is on the disk before anything needs it. */
export function stageKeyFile(dataFolder: string, key: Buffer): void {
  writeKeyFile(join(dataFolder, NEXT), key);
}

/** The new key replaces the old one, if `wanted` says that the change has begun. */
export function finishChange(dataFolder: string, wanted: string | null): void {
  const next = join(dataFolder, NEXT);
  const text = readKeyFile(next);
  if (text === null) return;
  const { masterKeyId } = new Keyring(parseMasterKey(text, `the file "${next}"`));
  if (masterKeyId === wanted) renameSync(next, join(dataFolder, "master.key"));
  else rmSync(next);
}

const NEXT = "master.key.next";
const COMMAND_TIMEOUT = 30_000;

function parsed(text: string, from: string): { key: Buffer; from: string } {
  return { key: parseMasterKey(text, from), from };
}

function readGivenFile(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (cause) {
    throw new Failure("master_key_missing", {
      message: `the master key file "${file}" cannot be read: ${(cause as NodeJS.ErrnoException).code}`,
      fix: "Put the file back, or correct COUNTERSIGN_MASTER_KEY_FILE. Nothing was overwritten.",
      cause,
    });
  }
}

/** Its standard output is the key and is never shown. Its standard error is shown. */
async function runCommand(command: string): Promise<string> {
  const [shell, flag] = process.platform === "win32" ? ["cmd.exe", "/c"] : ["/bin/sh", "-c"];
  try {
    const running = promisify(execFile)(shell, [flag, command], { timeout: COMMAND_TIMEOUT });
    running.child.stdin?.end();
    return (await running).stdout;
  } catch (error) {
    const { code, killed, stderr } = error as {
      readonly code?: number | string;
      readonly killed?: boolean;
      readonly stderr?: string;
    };
    const why = killed
      ? `took longer than ${COMMAND_TIMEOUT / 1000} s`
      : `ended with status ${code}`;
    const said = stderr?.trim().split("\n").at(-1)?.slice(0, 200);
    throw new Failure("master_key_command_failed", {
      message: `the master key command ${why}${said ? `: ${said}` : ""}`,
    });
  }
}

function readKeyFile(file: string): string | null {
  try {
    if (process.platform !== "win32" && (statSync(file).mode & 0o077) !== 0) {
      throw new Failure("master_key_exposed", {
        message: `the master key file "${file}" can be read by others on this machine`,
        fix: `Run: chmod 600 "${file}", and consider the key known to everyone who could read it.`,
      });
    }
    return readFileSync(file, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw error;
  }
}

/**
 * The file is complete and on the disk before anything is sealed with the key, so a crash leaves no
 * partial key.
 */
function writeKeyFile(file: string, key: Buffer): Buffer {
  const draft = `${file}.new`;
  rmSync(draft, { force: true });
  writeFileSync(draft, `${key.toString("base64")}\n`, { mode: 0o600, flag: "wx", flush: true });
  renameSync(draft, file);
  return key;
}
