import { existsSync, statSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { spawnProcess } from "../spawned.ts";
import { findCommand } from "./find-command.ts";
import { AFTER_WORKERS, hasUsers } from "./own-user.ts";
import type { SandboxMode } from "./sandbox-kinds.ts";

/** A separate user for one kind of the platform's own processes. */
export interface ProcessUser {
  readonly setpriv: string;
  /** Of the user and of its group. It has no other groups. */
  readonly id: number;
}

/**
 * Users for those processes of the platform that parse what strangers send. They own nothing, and
 * read what everybody on the machine may: none of the data folder.
 */
export interface ProcessUsers {
  /** In a line, for what is in force or why nothing is. */
  readonly summary: string;
  readonly isInForce: boolean;
  /** The platform is root and could use separate users, but something prevents it. */
  readonly isHindered: boolean;
  /** Null, as the others: the process runs as this one's user. */
  readonly gateway: ProcessUser | null;
  readonly ingress: ProcessUser | null;
  readonly intake: ProcessUser | null;
}

/** The same kind of process has the same user as long as the data folder stays where it is. */
const KINDS = ["gateway", "intake", "ingress"] as const;
/** Room for kinds. */
const EACH = 4;
/** Of data folders, which have users of their own. */
const FOLDERS = 1 << 20;

/**
 * Finds out whether processes of ours can have users of their own, by running a program as each.
 * @param mode `off`: they have none
 * @param dataFolder of this platform alone
 */
export async function findProcessUsers(
  mode: SandboxMode,
  dataFolder: string,
): Promise<ProcessUsers> {
  if (process.getuid?.() !== 0) return noUsers("users of their own need root");
  if (mode === "off") return noUsers("--sandbox off");
  const setpriv = await findCommand("setpriv");
  if (setpriv === null) return noUsers("setpriv of util-linux is not installed", true);
  const ino = existsSync(dataFolder) ? statSync(dataFolder).ino : 0;
  const first = AFTER_WORKERS + (ino % FOLDERS) * EACH;
  if (!(await hasUsers(first, first + EACH))) {
    return noUsers("this container has no users to give", true);
  }
  const [gateway, intake, ingress] = KINDS.map((_, index) => ({ setpriv, id: first + index }));
  const why = await whyNot(gateway!);
  if (why !== null) return noUsers(why, true);
  return {
    summary:
      "the gateway, the ingress and the reader of keys have users of their own (no capabilities, no files)",
    isInForce: true,
    isHindered: false,
    gateway: gateway!,
    ingress: ingress!,
    intake: intake!,
  };
}

/** @param why in a few words */
export function noUsers(why: string, isHindered = false): ProcessUsers {
  const summary = `the gateway, the ingress and the reader of keys run as the platform's user (${why})`;
  return { summary, isInForce: false, isHindered, gateway: null, ingress: null, intake: null };
}

/** Without who they are. */
export function describeUsers(
  users: ProcessUsers,
): Pick<ProcessUsers, "isInForce" | "isHindered" | "summary"> {
  const { isInForce, isHindered, summary } = users;
  return { isInForce, isHindered, summary };
}

/** A command line that runs another as a user. @param user Null: as it is */
export function asUser(
  user: ProcessUser | null,
  command: readonly [string, ...string[]],
): readonly [string, ...string[]] {
  if (user === null) return command;
  const id = String(user.id);
  return [
    user.setpriv,
    "--reuid",
    id,
    "--regid",
    id,
    "--clear-groups",
    "--no-new-privs",
    "--inh-caps=-all",
    "--bounding-set=-all",
    "--pdeathsig",
    "SIGKILL",
    "--",
    ...command,
  ];
}

/** Null: a process of this user finds all that it is run from. */
async function whyNot(user: ProcessUser): Promise<string | null> {
  const trusted = ["NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE", "SSL_CERT_DIR"];
  // Node goes on without what it cannot read, and connections fail that did not before.
  const read = trusted.flatMap((name) => process.env[name] ?? []).filter((at) => existsSync(at));
  const files = [process.execPath, fileURLToPath(import.meta.url), ...read];
  const [file, ...args] = asUser(user, ["/bin/sh", "-c", LOOK, "sh", ...files]);
  try {
    const { child, ended } = await spawnProcess(file, args, {
      cwd: "/",
      env: {},
      stdio: ["ignore", "pipe", "pipe"],
    });
    let said = "";
    for (const stream of [child.stdout!, child.stderr!]) {
      stream.setEncoding("utf8").on("data", (chunk: string) => (said += chunk));
    }
    const how = await ended;
    return child.exitCode === 0 ? null : said.trim().split("\n")[0]!.slice(0, 200) || how;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/** Says which file it cannot read. */
const LOOK = 'for file; do [ -r "$file" ] || { echo "they cannot read $file"; exit 1; }; done';
