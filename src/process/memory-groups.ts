import { execFile } from "node:child_process";
import { constants, readFileSync, writeFileSync } from "node:fs";
import { access, mkdir, readdir, readFile, rmdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { promisify } from "node:util";
import { findGroup, managerOf } from "./memory-group-place.ts";

/** The group of one process, in which the kernel counts everything that it has the kernel keep. */
export interface MemoryGroup {
  /** Did the kernel end the process because of the limit? Known until the group is removed. */
  exceeded(): boolean;
  /** After the process has ended. Never throws. */
  remove(): Promise<void>;
}

/**
 * Limits memory by cgroups of version 2 (Linux, Documentation/admin-guide/cgroup-v2.rst). They count memory in use of
 * every kind, also what RLIMIT_DATA does not: shared memory, buffers of sockets, page tables. A group that divides its
 * memory may hold no process, so this process and its children move to a group below their own.
 */
export class MemoryGroups {
  /** One line: where the groups are, or why there are none. */
  readonly summary: string;
  /** An absolute path. Null: there are none. */
  readonly #base: string | null;

  private constructor(base: string | null, summary: string) {
    this.#base = base;
    this.summary = summary;
  }

  /**
   * Takes the group that this process is in, if whoever manages groups has given it to this process: it may write
   * there, nobody else is in it, and systemd delegated it (`Delegate=memory`) or it is all that a container sees.
   * Nothing is changed otherwise. Never throws.
   */
  static async open(): Promise<MemoryGroups> {
    if (process.platform !== "linux") return new MemoryGroups(null, "there is no Linux here");
    try {
      const base = await ownGroup();
      await divide(base);
      return new MemoryGroups(base, `a cgroup each, below ${base}`);
    } catch (error) {
      return new MemoryGroups(null, error instanceof Error ? error.message : String(error));
    }
  }

  get isInForce(): boolean {
    return this.#base !== null;
  }

  /**
   * Limits what a process takes from now on: what it had before stays with this process's group.
   * @param bytes beyond which the kernel ends it, after it has written back and dropped what it can
   * @returns null: there are no groups, or the process has ended
   */
  async limit(pid: number, bytes: number): Promise<MemoryGroup | null> {
    if (this.#base === null) return null;
    const path = join(this.#base, `${PREFIX}${pid}`);
    try {
      await mkdir(path, { recursive: true });
      await writeFile(join(path, "memory.max"), String(bytes));
      await writeFile(join(path, "memory.oom.group"), "1");
      // Kernels without swap do not have it.
      await writeFile(join(path, "memory.swap.max"), "0").catch(() => {});
      await writeFile(join(path, PROCESSES), String(pid));
    } catch {
      await remove(path);
      return null;
    }
    return { exceeded: () => wasEnded(path), remove: () => remove(path) };
  }

  /** When no limited process runs any more: everything is as it was before. Never throws. */
  async close(): Promise<void> {
    if (this.#base !== null) await unite(this.#base);
  }
}

const PROCESSES = "cgroup.procs";
const DIVIDED = "cgroup.subtree_control";
/** The group of the platform's own processes. */
const LEAF = "platform";
const PREFIX = "worker-";

/** @throws Error with the reason */
async function ownGroup(): Promise<string> {
  const [mounts, groups] = await Promise.all([
    readFile("/proc/self/mountinfo", "utf8"),
    readFile("/proc/self/cgroup", "utf8"),
  ]);
  const found = findGroup(mounts, groups);
  if (found === null) throw new Error("the machine has no cgroups of version 2");
  const { path, within } = found;
  const controllers = await readFile(join(path, "cgroup.controllers"), "utf8").catch(() => "");
  if (!controllers.trim().split(" ").includes("memory")) {
    throw new Error(`the cgroup ${within} has no memory controller`);
  }
  // The machine's own root has no limits.
  await access(join(path, "memory.max")).catch(() => {
    throw new Error("the platform is in the machine's root cgroup");
  });
  for (const file of [".", PROCESSES, DIVIDED]) {
    await access(join(path, file), constants.W_OK).catch(() => {
      throw new Error(`the cgroup ${within} is not the platform's to write to`);
    });
  }
  if (!(await isGiven(within))) throw new Error(`the cgroup ${within} has no Delegate=memory`);
  const others = (await membersOf(path)).filter((pid) => !isOwn(pid));
  if (others.length > 0) throw new Error(`the cgroup ${within} has other processes as well`);
  return path;
}

/** May this process divide the group? Its manager says so, or who may write to it without being root was given it. */
async function isGiven(within: string): Promise<boolean> {
  const manager = managerOf(within);
  // A container sees its own group as the root of all.
  if (manager === null) return within === "/" || process.getuid?.() !== 0;
  const { unit, isOfUser } = manager;
  const args = [...(isOfUser ? ["--user"] : []), "show", "--property=Delegate", "--value", unit];
  try {
    const { stdout } = await promisify(execFile)("systemctl", args, { timeout: 5_000 });
    return stdout.trim() === "yes";
  } catch {
    return process.getuid?.() !== 0;
  }
}

async function membersOf(path: string): Promise<number[]> {
  const text = await readFile(join(path, PROCESSES), "utf8");
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map(Number);
}

/** This process, or one that it or its children started. */
function isOwn(pid: number): boolean {
  // 0: of a namespace that cannot be seen from here. 1 has no parent.
  for (let one = pid; one > 0; one = parentOf(one)) {
    if (one === process.pid) return true;
  }
  return false;
}

function parentOf(pid: number): number {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    return Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]);
  } catch {
    return 0;
  }
}

async function divide(base: string): Promise<void> {
  try {
    for (const left of await limitedBelow(base)) await remove(left);
    await mkdir(join(base, LEAF), { recursive: true });
    // More may have been started while the first were moved.
    for (let tries = 0; tries < MOST_TRIES; tries++) {
      const members = await membersOf(base);
      if (members.length === 0) break;
      moveAll(members, join(base, LEAF));
    }
    await writeFile(join(base, DIVIDED), "+memory");
  } catch (error) {
    await unite(base);
    throw new Error(`the cgroup ${base} could not be divided: ${reasonOf(error)}`, {
      cause: error,
    });
  }
}

const MOST_TRIES = 10;

async function unite(base: string): Promise<void> {
  try {
    for (const left of await limitedBelow(base)) await remove(left);
    await writeFile(join(base, DIVIDED), "-memory");
    const leaf = join(base, LEAF);
    for (let tries = 0; tries < MOST_TRIES; tries++) {
      const members = await membersOf(leaf);
      if (members.length === 0) break;
      moveAll(members, base);
    }
    await rmdir(leaf);
  } catch {
    // Whoever manages the group removes it with all that is below.
  }
}

function moveAll(pids: readonly number[], path: string): void {
  for (const pid of pids) {
    try {
      writeFileSync(join(path, PROCESSES), String(pid));
    } catch (error) {
      // ESRCH: it has ended meanwhile.
      if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
    }
  }
}

async function limitedBelow(base: string): Promise<string[]> {
  const names = await readdir(base);
  return names.filter((name) => name.startsWith(PREFIX)).map((name) => join(base, name));
}

/** A group is busy for a moment after its last process has ended. */
async function remove(path: string): Promise<void> {
  for (let tries = 0; tries < MOST_TRIES; tries++) {
    try {
      await rmdir(path);
      return;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EBUSY") return;
      await delay(20 << tries, null, { ref: false });
    }
  }
}

function wasEnded(path: string): boolean {
  try {
    const events = readFileSync(join(path, "memory.events"), "latin1");
    return Number(/^oom_kill (\d+)$/m.exec(events)?.[1] ?? 0) > 0;
  } catch {
    return false;
  }
}

function reasonOf(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  return code ?? message;
}
