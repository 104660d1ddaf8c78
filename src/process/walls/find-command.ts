import { access, constants } from "node:fs/promises";
import { delimiter, join } from "node:path";

/** The path of one of the machine's commands. Null: it has none of that name, or is no Linux. */
export async function findCommand(name: string): Promise<string | null> {
  if (process.platform !== "linux") return null;
  for (const folder of (process.env["PATH"] ?? "").split(delimiter)) {
    if (folder === "") continue;
    const path = join(folder, name);
    try {
      await access(path, constants.X_OK);
      return path;
    } catch {
      // The next one.
    }
  }
  return null;
}
