import { createInterface } from "node:readline/promises";
import { Failure } from "../failures/failures.ts";
import { colorsFor, isTerminal, writeLine, type Io } from "../terminal/io.ts";
import { Exit, exitStatus } from "./report.ts";

export const yesOption: readonly [string, string] = ["-y, --yes", "do not ask"];

/**
 * Asks before something irreversible. Returns if the answer is yes.
 * @param what a sentence that says what would happen: `This revokes …`
 * @throws Failure `confirmation_needed` if there is no terminal; Exit if the answer is no
 */
export async function confirm(
  io: Io,
  options: { readonly yes?: true },
  what: string,
): Promise<void> {
  if (options.yes) return;
  const { stdin, stderr } = io;
  if (stdin === undefined || !isTerminal(stderr) || !("isTTY" in stdin && stdin.isTTY === true)) {
    throw new Failure("confirmation_needed", { message: what });
  }
  writeLine(stderr, `${colorsFor(io, stderr).yellow("!")} ${what}`);
  const asking = createInterface({ input: stdin, output: stderr });
  try {
    if (/^y(es)?$/i.test((await asking.question("  Go on? [y/N] ")).trim())) return;
  } finally {
    asking.close();
  }
  writeLine(stderr, "Nothing was changed.");
  throw new Exit(exitStatus.failed);
}
