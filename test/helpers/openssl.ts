import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

/** A separate folder in which the openssl command runs. Removed when this is disposed of. */
export interface OpensslFolder extends AsyncDisposable {
  readonly path: string;
  /** @throws with what the command wrote on stderr */
  run(args: readonly string[], stdin?: string): Promise<string>;
  read(name: string): Promise<string>;
  write(name: string, content: string | Uint8Array): Promise<void>;
}

export async function openOpenssl(): Promise<OpensslFolder> {
  const path = await mkdtemp(join(tmpdir(), "countersign-openssl-"));
  return {
    path,
    run: async (args, stdin) => {
      const running = promisify(execFile)("openssl", args, { cwd: path });
      if (stdin === undefined) running.child.stdin?.end();
      else running.child.stdin?.end(stdin);
      return (await running).stdout;
    },
    read: (name) => readFile(join(path, name), "utf8"),
    write: (name, content) => writeFile(join(path, name), content),
    [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }),
  };
}
