import { randomBytes } from "node:crypto";
import { readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Failure } from "../failures.ts";

/**
 * The 32 bytes that seal every key and secret: from `COUNTERSIGN_MASTER_KEY` (base64 or 64 hex
 * digits), else from the file `master.key` in the data folder, which the first start makes (0600).
 * @param fresh whether the data folder holds nothing yet: only then may a key be made
 * @throws Failure `master_key_malformed`, `master_key_missing`, `master_key_exposed`
 */
export function loadMasterKey(options: {
  readonly dataFolder: string;
  readonly environment: string | undefined;
  readonly fresh: boolean;
}): Buffer {
  if (options.environment) return parseMasterKey(options.environment, "COUNTERSIGN_MASTER_KEY");
  const file = join(options.dataFolder, "master.key");
  const text = readKeyFile(file);
  if (text !== null) return parseMasterKey(text, `the file "${file}"`);
  if (!options.fresh) {
    throw new Failure("master_key_missing", {
      message: `the data folder "${options.dataFolder}" has sealed records, but there is no master key for them`,
    });
  }
  return makeKeyFile(file);
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

function readKeyFile(file: string): string | null {
  try {
    if (process.platform !== "win32" && (statSync(file).mode & 0o077) !== 0) {
      throw new Failure("master_key_exposed", {
        message: `the master key file "${file}" can be read by others on this machine`,
        fix: `Run: chmod 600 "${file}", and consider the key known to whoever could read it.`,
      });
    }
    return readFileSync(file, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw error;
  }
}

/** Whole and on the disk before anything is sealed with it: a crash leaves no half a key. */
function makeKeyFile(file: string): Buffer {
  const key = randomBytes(32);
  const draft = `${file}.new`;
  rmSync(draft, { force: true });
  writeFileSync(draft, `${key.toString("base64")}\n`, { mode: 0o600, flag: "wx", flush: true });
  renameSync(draft, file);
  return key;
}
