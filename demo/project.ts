import { cpSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { wranglerProject, type WranglerTarget } from "../test/helpers/wrangler.ts";
import { say } from "./steps.ts";

const root = join(import.meta.dirname, "..");

export interface DemoProject extends AsyncDisposable {
  edit(file: string, change: (text: string) => string): void;
  /**
   * Runs the unmodified wrangler with arguments without spaces, shows its output as it comes, and returns the output.
   */
  wrangler(command: string): Promise<string>;
}

/** Copies an example, and adds what a newcomer would have: dependencies and PEM files. */
export async function copyExample(
  name: string,
  target: WranglerTarget,
  files: Readonly<Record<string, string>>,
): Promise<DemoProject> {
  const project = await wranglerProject(target, files);
  const { folder } = project;
  cpSync(join(root, "examples", name), folder, { recursive: true });
  symlinkSync(join(root, "node_modules"), join(folder, "node_modules"), "junction");
  return {
    edit: (file, change) => {
      const path = join(folder, file);
      writeFileSync(path, change(readFileSync(path, "utf8")));
    },
    wrangler: async (command) => {
      say(`$ wrangler ${command}`);
      const { exitCode, output } = await project.run(command.split(" "), { onLine: show });
      if (exitCode !== 0) throw new Error(`wrangler ended with exit status ${exitCode}`);
      return output;
    },
    [Symbol.asyncDispose]: () => project[Symbol.asyncDispose](),
  };
}

function show(line: string): void {
  if (line.trim() !== "") say(line);
}
