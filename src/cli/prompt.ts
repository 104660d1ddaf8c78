import { createInterface } from "node:readline/promises";
import { Writable } from "node:stream";
import { Failure } from "../failures/failures.ts";
import type { Io } from "../terminal/io.ts";

/**
 * The passphrase of a file: from COUNTERSIGN_PASSPHRASE, else typed on the terminal without echo.
 * @throws Failure `usage` if there is no terminal
 */
export async function askPassphrase(io: Io, file: string): Promise<string> {
  const given = io.env["COUNTERSIGN_PASSPHRASE"];
  if (given !== undefined) return given;
  if (!process.stdin.isTTY) {
    throw new Failure("usage", {
      message: `"${file}" is encrypted, and there is no terminal to ask for its passphrase`,
      fix: "Give it with --passphrase-file FILE, or in COUNTERSIGN_PASSPHRASE.",
    });
  }
  io.stderr.write(`Passphrase of ${file}: `);
  // readline would echo the typed characters to `output`.
  const output = new Writable({ write: (_chunk, _encoding, done) => done() });
  const terminal = createInterface({ input: process.stdin, output, terminal: true });
  try {
    return await terminal.question("");
  } finally {
    terminal.close();
    io.stderr.write("\n");
  }
}
