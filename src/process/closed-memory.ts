import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";

/** Protections of this process's memory, which holds keys. */
export interface ClosedMemory {
  /** A crash writes none of it to disk. */
  readonly withoutCores: boolean;
  /** Other programs of the same user can neither read nor trace it. */
  readonly untraceable: boolean;
}

/**
 * Makes the kernel protect the memory of this process, as far as this Node and this machine allow.
 * Child processes inherit that they write no core; each has to do the rest itself.
 */
export function closeMemory(): ClosedMemory {
  if (process.platform !== "linux") return { withoutCores: false, untraceable: false };
  const untraceable = callLibc();
  // Node before 26.1 cannot call the C library. util-linux has the limit; nothing has the other.
  if (!hasNoCores()) setLimit();
  return { withoutCores: hasNoCores(), untraceable };
}

/** In a line. */
export function describeClosedMemory({ withoutCores, untraceable }: ClosedMemory): string {
  return [
    withoutCores ? "no core dumps" : "core dumps are NOT prevented",
    untraceable
      ? "closed to other programs of this user"
      : "NOT closed to other programs of this user (it takes Linux and Node 26.1)",
  ].join(", ");
}

interface Libc {
  prctl(option: number, a: bigint, b: bigint, c: bigint, d: bigint): number;
  setrlimit(resource: number, limit: Uint8Array): number;
}

interface Ffi {
  dlopen(library: string, functions: object): { readonly functions: Libc };
}

const PR_GET_DUMPABLE = 3;
const PR_SET_DUMPABLE = 4;
const RLIMIT_CORE = 4;

/** Is this process not dumpable now? The kernel is asked, not only told. */
function callLibc(): boolean {
  // It warns that it is experimental. What it did is verified here.
  const emitWarning = process.emitWarning.bind(process);
  process.emitWarning = () => {};
  try {
    const ffi = process.getBuiltinModule("node:ffi") as unknown as Ffi | undefined;
    if (ffi === undefined) return false;
    const { functions } = ffi.dlopen(LIBC, SIGNATURES);
    functions.setrlimit(RLIMIT_CORE, new Uint8Array(16));
    functions.prctl(PR_SET_DUMPABLE, 0n, 0n, 0n, 0n);
    return functions.prctl(PR_GET_DUMPABLE, 0n, 0n, 0n, 0n) === 0;
  } catch {
    return false;
  } finally {
    process.emitWarning = emitWarning;
  }
}

const LIBC = "libc.so.6";
const SIGNATURES = {
  prctl: { arguments: ["i32", "u64", "u64", "u64", "u64"], return: "i32" },
  setrlimit: { arguments: ["i32", "pointer"], return: "i32" },
};

function setLimit(): void {
  try {
    execFileSync("prlimit", ["--pid", String(process.pid), "--core=0:0"], { stdio: "ignore" });
  } catch {
    // The caller sees that nothing has changed.
  }
}

function hasNoCores(): boolean {
  try {
    return /^Max core file size\s+0\s+0\s/m.test(readFileSync("/proc/self/limits", "utf8"));
  } catch {
    return false;
  }
}
