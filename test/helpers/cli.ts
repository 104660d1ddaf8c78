import { Readable, Writable } from "node:stream";
import { main } from "../../src/cli/main.ts";

export interface CliRun {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs one command line in this process. */
export async function countersign(
  argv: readonly string[],
  options: {
    readonly cwd?: string;
    readonly env?: Readonly<Record<string, string>>;
    readonly stdin?: string;
  } = {},
): Promise<CliRun> {
  const stdout = collector();
  const stderr = collector();
  const status = await main(argv, {
    stdout: stdout.stream,
    stderr: stderr.stream,
    ...(options.stdin !== undefined && { stdin: Readable.from([options.stdin]) }),
    cwd: options.cwd ?? process.cwd(),
    env: { PATH: process.env["PATH"], HOME: process.env["HOME"], ...options.env },
  });
  return { status, stdout: stdout.text(), stderr: stderr.text() };
}

function collector(): { stream: Writable; text: () => string } {
  let text = "";
  const stream = new Writable({
    write: (chunk: Buffer, _, done) => {
      text += chunk.toString();
      done();
    },
  });
  return { stream, text: () => text };
}
