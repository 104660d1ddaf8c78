import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Failure } from "../../failures/failures.ts";
import { bubblewrap } from "./bubblewrap.ts";
import { enter } from "./enter.ts";
import { findCommand } from "./find-command.ts";
import { linkMounts, takeBack } from "./mounts.ts";
import { ownUser, whyNoUsers } from "./own-user.ts";
import { seccompFilter } from "./seccomp.ts";
import type { Sandbox, SandboxMode } from "./sandbox-kinds.ts";

/**
 * Finds the strongest wall that this machine has for a program that runs others' code, by trying
 * each with the program itself.
 * @param program an absolute path; it must know `--version`
 * @param top the folder of everything that programs see, an absolute path: it is this platform's
 * alone. Without one, there are no users of their own
 * @throws Failure `sandbox_unavailable` if one is required and there is none
 */
export async function findSandbox(
  program: string,
  mode: SandboxMode,
  top?: string,
): Promise<Sandbox> {
  const refused: string[] = [];
  if (mode !== "off") {
    const wrapped = await bubblewrapped(program, refused);
    if (wrapped !== null) return wrapped;
    const user = await userSandbox(program, top, refused);
    if (user !== null) return user;
    if (mode === "required") {
      throw new Failure("sandbox_unavailable", {
        message: `no sandbox for Workers works here: ${refused.join("; ")}`,
      });
    }
  }
  const why = mode === "off" ? "--sandbox off" : refused.join("; ");
  return unprivileged(program, why);
}

/** @param refused gets why not */
async function bubblewrapped(program: string, refused: string[]): Promise<Sandbox | null> {
  const bwrap = await findCommand("bwrap");
  if (bwrap === null) {
    refused.push("bubblewrap is not installed");
    return null;
  }
  for (const limit of [true, false]) {
    const sandbox = await bubblewrap(bwrap, program, { filter: seccompFilter(), limit });
    const reason = await tried(sandbox);
    if (reason === null) return sandbox;
    if (!refused.includes(reason)) refused.push(reason);
  }
  return null;
}

/** @param refused gets why not */
async function userSandbox(
  program: string,
  top: string | undefined,
  refused: string[],
): Promise<Sandbox | null> {
  const setpriv = await findCommand("setpriv");
  if (top === undefined || setpriv === null) return null;
  const why = await whyNoUsers(top);
  if (why !== null) {
    refused.push(why);
    return null;
  }
  const place = await mkdtemp(join(tmpdir(), "countersign-users-"));
  try {
    const reason = await tried(ownUser(setpriv, program, place), place);
    if (reason === null) return ownUser(setpriv, program, top);
    refused.push(reason);
    return null;
  } finally {
    await rm(place, { recursive: true, force: true });
  }
}

/** What stays where there is no sandbox: no new rights, and none at all. */
async function unprivileged(program: string, why: string): Promise<Sandbox> {
  const setpriv = await findCommand("setpriv");
  const summary = `NOT sandboxed (${why})`;
  if (setpriv !== null) {
    const bounding = process.getuid?.() === 0 ? ["--bounding-set=-all"] : [];
    for (const rights of [["--no-new-privs", "--inh-caps=-all", ...bounding], []]) {
      const sandbox = plain(
        [setpriv, "--pdeathsig", "SIGKILL", ...rights, "--", program],
        summary,
        rights.length > 0,
      );
      if ((await tried(sandbox)) === null) return sandbox;
    }
  }
  return plain([program], summary, false);
}

function plain([file, ...args]: readonly string[], why: string, lost: boolean): Sandbox {
  return {
    kind: lost ? "privileges" : "none",
    summary: lost ? `${why}; no capabilities, no new rights` : why,
    async prepare(folder, mounts = []) {
      await mkdir(join(folder, "o"), { recursive: true, mode: 0o700 });
      await linkMounts(folder, mounts);
    },
    give: (_, mounts) => takeBack(mounts),
    enter: (folder) => ({ file: file!, args, cwd: folder, filter: null, tellsPid: false }),
  };
}

/** Null: it works. Else why not. */
async function tried(sandbox: Sandbox, within?: string): Promise<string | null> {
  const { status, said } = await runsIn(sandbox, ["--version"], within);
  return status === 0 ? null : said;
}

/** ms. A machine that is busy as the platform starts is no reason for a weaker wall. */
const LONGEST_TRIAL = 30_000;

/** What the program says at once, run in a folder of its own. Never throws. */
export async function runsIn(
  sandbox: Sandbox,
  args: readonly string[],
  within: string = tmpdir(),
): Promise<{ readonly status: number | null; readonly said: string }> {
  const folder = await mkdtemp(join(within, "countersign-sandbox-"));
  try {
    await sandbox.prepare(folder);
    const entered = await enter(sandbox.enter(folder), { args, env: {}, input: false });
    const { child, pid, ended } = entered;
    const timer = setTimeout(() => process.kill(pid, "SIGKILL"), LONGEST_TRIAL);
    let said = "";
    for (const stream of [child.stdout!, child.stderr!]) {
      stream.setEncoding("utf8").on("data", (chunk: string) => (said += chunk));
    }
    const how = await ended;
    clearTimeout(timer);
    return { status: child.exitCode, said: said.trim().split("\n")[0]!.slice(0, 200) || how };
  } catch (error) {
    return { status: null, said: error instanceof Error ? error.message : String(error) };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
