import { colorsFor, writeLine, type Io } from "../terminal/io.ts";
import { Exit, exitStatus } from "./report.ts";

/** Prints wrangler's errors in its own words: without a failure of ours, and without a stack trace. */
export async function inWranglersWords<T>(io: Io, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const { WranglerError } = await import("../dev/wrangler/wrangler-error.ts");
    if (!(error instanceof WranglerError)) throw error;
    writeLine(io.stderr, `${colorsFor(io, io.stderr).red("✘")} wrangler: ${error.message}`);
    throw new Exit(exitStatus.failed);
  }
}
