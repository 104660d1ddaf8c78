import { readdirSync, readFileSync } from "node:fs";
import { open, type FileHandle } from "node:fs/promises";

/** How often each of the named texts occurs in the memory of a process. Needs root's rights. */
export async function findInMemory(
  pid: number,
  needles: Readonly<Record<string, Buffer>>,
): Promise<Readonly<Record<string, number>>> {
  const found = Object.fromEntries(Object.keys(needles).map((name) => [name, 0]));
  const file = await open(`/proc/${pid}/mem`, "r").catch((error: NodeJS.ErrnoException) => error);
  if (file instanceof Error) {
    // The process has ended, and its memory is gone.
    if (file.code === "ENOENT") return found;
    throw file;
  }
  await using memory = file;
  for (const { start, end } of writableRegions(pid)) {
    for (let at = start; at < end; at += CHUNK) {
      const chunk = await read(memory, at, Math.min(CHUNK + OVERLAP, end - at));
      for (const [name, needle] of Object.entries(needles)) found[name]! += count(chunk, needle);
    }
  }
  return found;
}

const CHUNK = 8 * 1024 * 1024;
/** Bytes that chunks overlap by, so that a text across their boundary is found. */
const OVERLAP = 256;

/** Regions that are in memory, because V8 reserves far more than it uses. */
function writableRegions(pid: number): readonly { start: number; end: number }[] {
  return readFileSync(`/proc/${pid}/smaps`, "utf8")
    .split(/^(?=[0-9a-f]+-[0-9a-f]+ )/m)
    .filter((region) => !/^Rss: +0 kB$/m.test(region))
    .map((region) => /^([0-9a-f]+)-([0-9a-f]+) rw/.exec(region))
    .filter((match) => match !== null)
    .map(([, start, end]) => ({
      start: Number.parseInt(start!, 16),
      end: Number.parseInt(end!, 16),
    }));
}

async function read(memory: FileHandle, at: number, length: number): Promise<Buffer> {
  const chunk = Buffer.alloc(length);
  try {
    return chunk.subarray(0, (await memory.read(chunk, 0, length, at)).bytesRead);
  } catch {
    // Unmapped meanwhile, or a guard page.
    return Buffer.alloc(0);
  }
}

function count(chunk: Buffer, needle: Buffer): number {
  let times = 0;
  for (let at = chunk.indexOf(needle); at !== -1; at = chunk.indexOf(needle, at + 1)) times++;
  return times;
}

/** A process and all its descendants. */
export function familyOf(pid: number): number[] {
  return [pid, ...descendants(pid)];
}

/** Empty if the process has ended. */
export function commandOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ").trim();
  } catch {
    return "";
  }
}

function descendants(pid: number): number[] {
  return childrenOf(pid).flatMap((child) => [child, ...descendants(child)]);
}

/** None if the process has ended. */
function childrenOf(pid: number): number[] {
  try {
    return readdirSync(`/proc/${pid}/task`)
      .flatMap((task) =>
        readFileSync(`/proc/${pid}/task/${task}/children`, "utf8").trim().split(" ").map(Number),
      )
      .filter((child) => child > 0);
  } catch {
    return [];
  }
}
