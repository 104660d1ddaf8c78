import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { promisify } from "node:util";
import { WorkerdStartError } from "./workerd.ts";

/**
 * Private keys in a configuration that are in no file: the text on disk has random letters of the
 * same length in their places. workerd encodes it, the keys replace the letters in memory, and the
 * result goes to the serving process through a pipe.
 */
export class KeysInConfig {
  readonly #keys = new Map<string, { readonly placeholder: string; readonly key: Buffer }>();

  /** @param key PEM */
  add(name: string, key: string): void {
    const bytes = Buffer.from(key);
    const placeholder = randomBytes(bytes.length).toString("hex").slice(0, bytes.length);
    this.#keys.set(name, { placeholder, key: bytes });
  }

  /** What stands for the key in the text. */
  placeholder(name: string): string {
    return this.#keys.get(name)!.placeholder;
  }

  /**
   * @param command from `workerdCommand`
   * @param config relative to the working directory
   * @returns null: without a key, workerd reads the file itself
   * @throws WorkerdStartError
   */
  async encode(
    command: readonly string[],
    workingDirectory: string,
    config: string,
  ): Promise<Buffer | null> {
    if (this.#keys.size === 0) return null;
    const encoded = await compile(command, workingDirectory, config);
    for (const { placeholder, key } of this.#keys.values()) {
      encoded.set(key, encoded.indexOf(placeholder));
      key.fill(0);
    }
    return encoded;
  }
}

async function compile(
  [file, ...args]: readonly string[],
  cwd: string,
  config: string,
): Promise<Buffer> {
  try {
    const { stdout } = await promisify(execFile)(
      file!,
      [...args, "compile", "--config-only", config],
      { cwd, env: {}, encoding: "buffer", maxBuffer: Infinity },
    );
    return stdout;
  } catch (error) {
    throw new WorkerdStartError("exited", "workerd did not read its configuration", [
      error instanceof Error ? error.message : String(error),
    ]);
  }
}
