import { execFile } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { findCommand } from "../process/walls/find-command.ts";
import { makeRunFolder } from "./run-folder.ts";

/** Where Miniflare looks for workerd before it takes its own. */
const VARIABLE = "MINIFLARE_WORKERD_PATH";

/**
 * Has the kernel end each workerd that Miniflare starts as soon as this process has ended. Miniflare does so itself,
 * except when this process is killed: then workerd would keep the port, and answer 500 there. No effect without
 * util-linux's `setpriv`, and where the user has set another workerd.
 */
export async function endTogether(workerd: string): Promise<Disposable> {
  const stack = new DisposableStack();
  const setpriv = await findCommand("setpriv");
  if (setpriv === null || process.env[VARIABLE] !== undefined) return stack;
  const wrapper = join(stack.use(await makeRunFolder()).path, "workerd");
  const command = [setpriv, "--pdeathsig", "SIGKILL", "--", workerd].map(quoted).join(" ");
  try {
    // The folder's file system may be full, or one from which nothing can be started.
    await writeFile(wrapper, `#!/bin/sh\nexec ${command} "$@"\n`, { mode: 0o700 });
    await promisify(execFile)(wrapper, ["--version"]);
  } catch {
    return stack;
  }
  process.env[VARIABLE] = wrapper;
  stack.defer(() => delete process.env[VARIABLE]);
  return stack;
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
