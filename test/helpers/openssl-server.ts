import { spawn, spawnSync, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";

/** Why tests that need the `openssl` command are skipped, or false. */
export const withoutOpenssl: string | false =
  spawnSync("openssl", ["version"]).status === 0 ? false : "openssl is not installed";

export interface OpensslServer {
  readonly port: number;
}

/**
 * `openssl s_server` on a free port: it sends alerts that Node's own server does not. Files are written into its
 * folder, and `args` refers to them by their keys.
 */
export async function startOpenssl(
  t: TestContext,
  files: Readonly<Record<string, string>>,
  args: readonly string[],
): Promise<OpensslServer> {
  const directory = await mkdtemp(join(tmpdir(), "countersign-openssl-"));
  t.after(() => rm(directory, { recursive: true, force: true }));
  for (const [name, text] of Object.entries(files)) await writeFile(join(directory, name), text);
  const child = spawn("openssl", ["s_server", "-accept", "127.0.0.1:0", "-www", ...args], {
    cwd: directory,
    stdio: ["pipe", "pipe", "pipe"],
  });
  t.after(async () => {
    child.kill("SIGKILL");
    if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
  });
  return { port: await acceptedPort(child) };
}

async function acceptedPort(child: ChildProcess): Promise<number> {
  let output = "";
  child.stderr!.on("data", (chunk) => (output += String(chunk)));
  for await (const chunk of child.stdout!.iterator({ destroyOnReturn: false })) {
    output += String(chunk);
    const match = /^ACCEPT .*:(\d+)$/m.exec(output);
    if (match !== null) {
      child.stdout!.resume();
      return Number(match[1]);
    }
  }
  throw new Error(`openssl s_server did not start: ${output}`);
}
