import { lstatSync } from "node:fs";
import { chmod, chown, lstat, mkdir, readFile, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { giveAll, linkMounts } from "./mounts.ts";
import type { Mount, Sandbox } from "./sandbox-kinds.ts";

/**
 * Users without names that neither distributions nor systemd give to anybody
 * (https://systemd.io/UIDS-GIDS): 2^27 of them. The first is the group of all that run here.
 */
const FIRST = 0x7000_0000;
const COUNT = 1 << 27;
/** Those after are for processes of the platform's own. */
export const AFTER_WORKERS: number = FIRST + COUNT;
/** Those before are for processes that keep nothing. */
const KEEPING = 1 << 20;

/** Does this mode let Workers' processes pass through a folder without listing it? */
export function isPassage({ mode, gid }: { readonly mode: number; readonly gid: number }): boolean {
  return (mode & 0o077) === 0o010 && gid === FIRST;
}

/**
 * A user of its own for each Worker, where the platform is root and has no namespaces to give: a
 * program reads its own files, and reaches no process, file or socket of the platform or of others.
 * What the machine lets everybody do it may do too, such as read /etc/passwd.
 *
 * Only its group can enter its folder. On the way there, from `top` on, only a group that all of
 * these processes have can pass through the folders.
 *
 * @param top an absolute path; above it everybody has to be let through
 */
export function ownUser(setpriv: string, program: string, top: string): Sandbox {
  let last = 0;
  const fresh = (): number => FIRST + 1 + (last++ % (KEEPING - 1));
  return {
    kind: "user",
    summary:
      "sandboxed by a user of its own for each Worker (no capabilities, no new rights; without bubblewrap: no filter of system calls; the machine's network)",
    async prepare(folder, mounts = []) {
      await linkMounts(folder, mounts);
      const given = lstatSync(folder).gid;
      const user = isOurs(given) ? given : ((await keeperOf(mounts)) ?? fresh());
      for (const { folder: kept } of mounts) await letPass(dirname(kept), top);
      await letPass(dirname(folder), top);
      await chown(folder, 0, user);
      // What is made in it later, such as the sockets of bindings, is its group's as well.
      await chmod(folder, 0o2750);
      const writable = join(folder, "o");
      await mkdir(writable, { recursive: true });
      await chown(writable, user, user);
      await chmod(writable, 0o700);
    },
    async give(folder, mounts) {
      const user = lstatSync(folder).gid;
      for (const { folder: kept } of mounts) await giveAll(kept, user, user);
    },
    enter(folder) {
      const user = String(lstatSync(folder).gid);
      const rights = ["--no-new-privs", "--inh-caps=-all", "--bounding-set=-all"];
      const who = ["--reuid", user, "--regid", user, "--groups", String(FIRST)];
      return {
        file: setpriv,
        args: [...who, "--pdeathsig", "SIGKILL", ...rights, "--", program],
        cwd: folder,
        filter: null,
        tellsPid: false,
      };
    },
  };
}

/** Why separate users are impossible below `top`. Null: they are possible. */
export async function whyNoUsers(top: string): Promise<string | null> {
  if (process.getuid?.() !== 0) return "a user of its own for each Worker needs root";
  if (!(await hasUsers(FIRST, AFTER_WORKERS)))
    return "this container has no users to give to Workers";
  for (let folder = dirname(top); ; folder = dirname(folder)) {
    const found = await stat(folder).catch(() => null);
    // What is not there yet is made below, with the platform's own mode.
    if (found !== null && (found.mode & 0o001) === 0) {
      return `users of their own cannot pass through "${folder}": put the data folder elsewhere, such as below /var/lib`;
    }
    if (folder === dirname(folder)) return null;
  }
}

function isOurs(id: number): boolean {
  return id > FIRST && id < AFTER_WORKERS;
}

/** Of a program that keeps something: the same one at each start. Null: it keeps nothing. */
async function keeperOf(mounts: readonly Mount[]): Promise<number | null> {
  const [first] = mounts;
  if (first === undefined) return null;
  const { ino } = await lstat(first.folder);
  return FIRST + KEEPING + (ino % (COUNT - KEEPING));
}

/** From a folder up to `top`. */
async function letPass(from: string, top: string): Promise<void> {
  for (let folder = from; ; folder = dirname(folder)) {
    if (!isPassage(await lstat(folder))) {
      await chown(folder, 0, FIRST);
      await chmod(folder, 0o710);
    }
    if (folder === top || folder === dirname(folder)) return;
  }
}

/** Do the ids up to `end` exist here? A container may have but a few. */
export async function hasUsers(begin: number, end: number): Promise<boolean> {
  const map = await readFile("/proc/self/uid_map", "latin1");
  return map.split("\n").some((line) => {
    const [inside = 0, , length = 0] = line.trim().split(/\s+/).map(Number);
    return inside <= begin && inside + length >= end;
  });
}
