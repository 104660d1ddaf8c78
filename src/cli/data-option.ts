import { homedir } from "node:os";
import { join, resolve } from "node:path";
import type { Io } from "../terminal/io.ts";

export const dataOption: readonly [string, string] = [
  "--data <dir>",
  "the data folder (default: $COUNTERSIGN_DATA, else countersign in $XDG_DATA_HOME or ~/.local/share)",
];

/** The data folder of a command: from the option, the environment, or the user's own share folder. */
export function dataFolderOf(io: Io, option: string | undefined): string {
  const chosen = option ?? io.env["COUNTERSIGN_DATA"];
  if (chosen) return resolve(io.cwd, chosen);
  return join(io.env["XDG_DATA_HOME"] ?? join(homedir(), ".local", "share"), "countersign");
}
