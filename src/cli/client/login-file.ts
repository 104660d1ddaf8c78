import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import type { Io } from "../../terminal/io.ts";

/** What `countersign login` stores, readable by this user only. */
export interface Login {
  /** `https://countersign.example/client/v4` */
  readonly api: string;
  readonly accountId: string;
  readonly accessToken: string;
  readonly refreshToken: string;
  /** The access token's expiry, ISO 8601. */
  readonly expiresOn: string;
}

export function loginFile({ env }: Io): string {
  const home = env["HOME"] ?? homedir();
  return join(env["XDG_CONFIG_HOME"] ?? join(home, ".config"), "countersign", "login.json");
}

/** Null: nobody is signed in, or the file's content is not a login. */
export function readLogin(io: Io): Login | null {
  try {
    const read = JSON.parse(readFileSync(loginFile(io), "utf8")) as Partial<Login> | null;
    const fields = ["api", "accountId", "accessToken", "refreshToken", "expiresOn"] as const;
    return fields.every((field) => typeof read?.[field] === "string") ? (read as Login) : null;
  } catch {
    return null;
  }
}

/** Written completely or not at all, mode 0600. */
export function writeLogin(io: Io, login: Login): void {
  const file = loginFile(io);
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  const draft = `${file}.${process.pid}`;
  writeFileSync(draft, `${JSON.stringify(login, null, 2)}\n`, { mode: 0o600 });
  renameSync(draft, file);
}

export function removeLogin(io: Io): void {
  rmSync(loginFile(io), { force: true });
}
