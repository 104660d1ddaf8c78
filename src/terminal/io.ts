import picocolors from "picocolors";
import type { WriteStream } from "node:tty";
import type { Readable, Writable } from "node:stream";
import { visibleColored } from "./visible.ts";

/** Everything that a command uses of its environment: streams, variables, working directory. */
export interface Io {
  readonly stdout: Writable;
  readonly stderr: Writable;
  /** Absent: there is none. */
  readonly stdin?: Readable;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
}

export type Colors = ReturnType<typeof picocolors.createColors>;

/** Colours only on a terminal, after https://no-color.org and FORCE_COLOR. */
export function colorsFor(io: Io, stream: Writable): Colors {
  const wanted = io.env["FORCE_COLOR"] ? io.env["FORCE_COLOR"] !== "0" : isTerminal(stream);
  return picocolors.createColors(wanted && !io.env["NO_COLOR"]);
}

export function isTerminal(stream: Writable): boolean {
  return (stream as Partial<WriteStream>).isTTY === true;
}

/** Text of others in the line cannot control the terminal. */
export function writeLine(stream: Writable, line = ""): void {
  stream.write(`${visibleColored(line)}\n`);
}

/**
 * One JSON value on one line: the only thing a command with `--json` writes to stdout. Its fields are
 * in snake_case, as the API's are.
 */
export function writeJson(stream: Writable, value: unknown): void {
  stream.write(`${JSON.stringify(snakeCased(JSON.parse(JSON.stringify(value) ?? "null")))}\n`);
}

/** @param value of JSON only */
function snakeCased(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(snakeCased);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, field]) => [
      name.replaceAll(/(?<=[a-z0-9])[A-Z]/g, (letter) => `_${letter.toLowerCase()}`),
      verbatim.has(name) ? field : snakeCased(field),
    ]),
  );
}

/** Fields whose content is quoted as it is: values of the audit log, and headers. */
const verbatim: ReadonlySet<string> = new Set(["before", "after", "headers"]);

/**
 * If `work` takes longer than a second, says on stderr what is being done. Quick work prints
 * nothing.
 */
export async function withProgress<T>(io: Io, what: string, work: () => Promise<T>): Promise<T> {
  const timer = setTimeout(() => writeLine(io.stderr, `${what} …`), 1000);
  try {
    return await work();
  } finally {
    clearTimeout(timer);
  }
}
