import { closeSync, openSync, readFileSync, readSync, writeSync } from "node:fs";

/**
 * Removes a variable from the environment, also from the kernel's copy. `delete process.env.NAME`
 * leaves that copy, which `/proc/PID/environ` shows for as long as the process lives. To be called
 * before `closeMemory`, after which a process cannot open its own memory either.
 * @returns whether it is gone from there, too. False where there is no Linux
 */
export function eraseVariable(name: string): boolean {
  delete process.env[name];
  if (process.platform !== "linux") return false;
  try {
    eraseFromBlock(name);
    return !readFileSync("/proc/self/environ", "latin1")
      .split("\0")
      .some((entry) => entry.startsWith(`${name}=`) && entry.length > name.length + 1);
  } catch {
    return false;
  }
}

function eraseFromBlock(name: string): void {
  const { start, end } = environmentBlock();
  const memory = openSync("/proc/self/mem", "r+");
  try {
    const block = Buffer.alloc(end - start);
    readSync(memory, block, 0, block.length, start);
    for (const [from, to] of valuesOf(block, name)) {
      writeSync(memory, Buffer.alloc(to - from), 0, to - from, start + from);
    }
    block.fill(0);
  } finally {
    closeSync(memory);
  }
}

/** Where the values of a variable begin and end: an environment may have a name twice. */
function* valuesOf(block: Buffer, name: string): Generator<readonly [from: number, to: number]> {
  const wanted = Buffer.from(`${name}=`);
  for (let at = 0; at < block.length; at = endOf(block, at) + 1) {
    const end = endOf(block, at);
    if (block.subarray(at, end).indexOf(wanted) === 0) yield [at + wanted.length, end];
  }
}

function endOf(block: Buffer, at: number): number {
  const end = block.indexOf(0, at);
  return end === -1 ? block.length : end;
}

/** Fields 50 and 51 of proc_pid_stat(5). */
function environmentBlock(): { readonly start: number; readonly end: number } {
  const stat = readFileSync("/proc/self/stat", "latin1");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return { start: Number(fields[47]), end: Number(fields[48]) };
}
