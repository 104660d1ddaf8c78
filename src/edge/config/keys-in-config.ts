import { randomBytes } from "node:crypto";
import { enter } from "../../process/walls/enter.ts";
import type { Launch, Sandbox } from "../../process/walls/sandbox-kinds.ts";
import { WorkerdStartError } from "../generation/workerd.ts";

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
   * @param config relative to the folder
   * @returns null: without a key, workerd reads the file itself
   * @throws WorkerdStartError
   */
  async encode(sandbox: Sandbox, folder: string, config: string): Promise<Buffer | null> {
    if (this.#keys.size === 0) return null;
    const encoded = await compile(sandbox.enter(folder), config);
    for (const { placeholder, key } of this.#keys.values()) {
      encoded.set(key, encoded.indexOf(placeholder));
      key.fill(0);
    }
    return encoded;
  }
}

async function compile(launch: Launch, config: string): Promise<Buffer> {
  const args = ["compile", "--config-only", config];
  const { child, ended } = await enter(launch, { args, env: {}, input: false });
  const chunks: Buffer[] = [];
  let said = "";
  child.stdout!.on("data", (chunk: Buffer) => chunks.push(chunk));
  child.stderr!.setEncoding("utf8").on("data", (chunk: string) => (said += chunk));
  const how = await ended;
  if (child.exitCode === 0) return Buffer.concat(chunks);
  throw new WorkerdStartError("exited", "workerd did not read its configuration", [said || how]);
}
