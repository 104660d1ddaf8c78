import { join, relative } from "node:path";

/** A control group of version 2. */
export interface GroupPlace {
  /** Where its files are: an absolute path. */
  readonly path: string;
  /** What the kernel calls it, from the root that this process sees: `/system.slice/countersign.service`. */
  readonly within: string;
}

/**
 * The group that a process is in.
 * @param mounts /proc/self/mountinfo, as proc(5) describes it
 * @param groups /proc/self/cgroup, as cgroups(7) describes it
 * @returns null: there is none of version 2, or its files are not mounted here
 */
export function findGroup(mounts: string, groups: string): GroupPlace | null {
  const within = /^0::(\/.*)$/m.exec(groups)?.[1];
  if (within === undefined) return null;
  for (const line of mounts.split("\n")) {
    // Fields without a fixed number are between the sixth and a dash.
    const [before = "", after = ""] = line.split(" - ");
    if (after.split(" ")[0] !== "cgroup2") continue;
    const [, , , root = "", mountPoint = ""] = before.split(" ").map(unescapeOctal);
    const below = relative(root, within);
    if (below === ".." || below.startsWith("../")) continue;
    return { path: join(mountPoint, below), within };
  }
  return null;
}

/** What systemd calls a group of its own. */
export interface Manager {
  readonly unit: string;
  /** Of a user's own systemd, rather than the machine's. */
  readonly isOfUser: boolean;
}

/** Null: it is not of a service or scope of systemd's. */
export function managerOf(within: string): Manager | null {
  const names = within.split("/");
  const unit = names.at(-1)!;
  if (!/\.(service|scope)$/.test(unit)) return null;
  return { unit, isOfUser: names.slice(0, -1).some((name) => /^user@\d+\.service$/.test(name)) };
}

/** Spaces, tabs, line breaks and backslashes are written as three octal digits. */
function unescapeOctal(text: string): string {
  return text.replaceAll(/\\([0-7]{3})/g, (_, digits: string) =>
    String.fromCodePoint(Number.parseInt(digits, 8)),
  );
}
