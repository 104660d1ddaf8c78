import { execFile } from "node:child_process";
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { promisify } from "node:util";

/**
 * Remembers on disk which processes run, so that the next start ends those that outlived a
 * supervisor that was killed. A process is known by its id and the moment it started: an id alone
 * may belong to somebody else by then.
 */
export class ProcessRecords {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  async add(pid: number): Promise<void> {
    const identity = await identityOf(pid);
    if (identity !== null) await writeFile(join(this.#folder, String(pid)), identity);
  }

  async remove(pid: number): Promise<void> {
    await rm(join(this.#folder, String(pid)), { force: true });
  }

  /** Kills every recorded process that still runs. */
  async endOrphans(): Promise<void> {
    await mkdir(this.#folder, { recursive: true, mode: 0o700 });
    for (const name of await readdir(this.#folder)) {
      const pid = Number(name);
      const recorded = await readFile(join(this.#folder, name), "utf8");
      if (Number.isSafeInteger(pid) && recorded !== "" && (await identityOf(pid)) === recorded) {
        kill(pid);
      }
    }
  }
}

/**
 * Kills those of bubblewrap's processes that were given something in a folder. One whose supervisor was killed
 * between its clone and the first byte that it waits for (bubblewrap 0.8) waits for ever, and was not recorded yet.
 * @param folder absolute; of nobody who runs
 */
export async function endHalfStarted(folder: string): Promise<void> {
  for (const name of await readdir("/proc").catch(() => [])) {
    const pid = Number(name);
    if (!Number.isSafeInteger(pid)) continue;
    const line = await readFile(join("/proc", name, "cmdline"), "utf8").catch(() => "");
    const [program = "", ...args] = line.split("\0");
    if (basename(program) !== "bwrap") continue;
    if (args.some((arg) => arg.startsWith(`${folder}/`))) kill(pid);
  }
}

const run = promisify(execFile);

/** What no other process ever has with this id. Null: no such process. */
export async function identityOf(pid: number): Promise<string | null> {
  try {
    const [boot, stat] = await Promise.all([
      readFile("/proc/sys/kernel/random/boot_id", "utf8"),
      readFile(`/proc/${pid}/stat`, "utf8"),
    ]);
    // The 22nd field; the second, in parentheses, may hold anything, spaces and parentheses too.
    const started = stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19];
    return `${boot.trim()} ${started}`;
  } catch {
    if (process.platform === "linux") return null;
  }
  try {
    const { stdout } = await run("ps", ["-o", "lstart=", "-p", String(pid)]);
    return stdout.trim() || null;
  } catch {
    return null;
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It ended by itself.
  }
}
