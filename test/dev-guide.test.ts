import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { spawnProgram, type RunningProgram } from "./helpers/dev-project.ts";
import { makeAuthority } from "./helpers/pki.ts";
import { program as countersign } from "./helpers/program.ts";

const repository = join(import.meta.dirname, "..");

test("the guide from mocks to mTLS works as it is written, command by command", async () => {
  const guide = await readFile(join(repository, "docs/guides/from-mocks-to-mtls.md"), "utf8");
  const folder = await mkdtemp(join(tmpdir(), "cs-guide-"));
  const reader = new Reader(folder);
  try {
    for (const [, info = "", text = ""] of guide.matchAll(/^```(.*)\n([^]*?)^```/gm)) {
      await reader.block(info, text);
    }
    assert.deepEqual(reader.kinds, ["file", "sh", "expect"], "the guide has all kinds of blocks");
  } finally {
    await reader.end();
    await rm(folder, { recursive: true, force: true });
  }
});

/** Does what the guide says, on free ports instead of 8443 and 8787. */
class Reader {
  readonly #folder: string;
  #origin: { readonly program: RunningProgram; readonly port: string } | null = null;
  #dev: { readonly program: RunningProgram; readonly url: string } | null = null;
  readonly #kinds = new Set<string>();

  constructor(folder: string) {
    this.#folder = folder;
  }

  get kinds(): readonly string[] {
    return [...this.#kinds];
  }

  async block(info: string, text: string): Promise<void> {
    const [, file] = /file=(\S+)/.exec(info) ?? [];
    const [, expected] = /expect="(.*)"/.exec(info) ?? [];
    if (file) {
      this.#kinds.add("file");
      await this.#write(file, text);
    } else if (expected) {
      this.#kinds.add("expect");
      await this.#ask(expected);
    } else if (info === "sh") {
      this.#kinds.add("sh");
      for (const command of text.trim().split("\n")) await this.#command(command);
    }
  }

  async end(): Promise<void> {
    await this.#dev?.program[Symbol.asyncDispose]();
    await this.#origin?.program[Symbol.asyncDispose]();
  }

  async #write(file: string, text: string): Promise<void> {
    if (file === "countersign.json") await this.#writeCertificate();
    const path = join(this.#folder, file);
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, text);
    if (file === "countersign.json") await this.#dev?.program.says(/MY_CERT presents CN=real/);
  }

  async #command(command: string): Promise<void> {
    if (command.startsWith("npm install")) {
      await this.#install();
    } else if (command.startsWith("npx countersign dev origin")) {
      await this.#startOrigin(command);
    } else if (command === "npx countersign dev") {
      await this.#startDev();
    } else {
      await promisify(execFile)("sh", ["-c", command], { cwd: this.#folder });
    }
  }

  /** Like npx, except that npx does not pass signals on. */
  #start(command: string): RunningProgram {
    const [, name = "", ...args] = command.split(" ");
    return spawnProgram(join(this.#folder, "node_modules/.bin", name), args, this.#folder);
  }

  /** Installs what npm would, without asking a registry. */
  async #install(): Promise<void> {
    const modules = join(this.#folder, "node_modules");
    await mkdir(join(modules, ".bin"), { recursive: true });
    await symlink(repository, join(modules, "countersign"));
    await symlink(join(repository, "node_modules/wrangler"), join(modules, "wrangler"));
    await symlink(countersign, join(modules, ".bin/countersign"));
    await writeFile(join(this.#folder, "package.json"), `{ "name": "shop" }\n`);
  }

  async #startOrigin(command: string): Promise<void> {
    const port = this.#origin?.port ?? "0";
    await this.#origin?.program[Symbol.asyncDispose]();
    const program = this.#start(`${command} --port ${port}`);
    const [, taken = ""] = await program.says(/https:\/\/localhost:(\d+) lets in/);
    this.#origin = { program, port: taken };
  }

  async #startDev(): Promise<void> {
    const supplier = `SUPPLIER:https://localhost:${this.#origin?.port}/stock`;
    const command = `npx countersign dev --port 0 --inspector-port 0 --var ${supplier}`;
    const program = this.#start(command);
    const [, url = ""] = await program.says(/Ready on (http\S+)/);
    this.#dev = { program, url };
  }

  /** Waits until the edit in the previous block is live. */
  async #ask(expected: string): Promise<void> {
    const until = Date.now() + 30_000;
    let text = "";
    while (!text.includes(expected) && Date.now() < until) {
      // wrangler cuts requests in flight when it reloads.
      text = await fetch(this.#dev?.url ?? "")
        .then((response) => response.text())
        .catch(String);
    }
    assert.ok(text.includes(expected), `${text}\n${this.#dev?.program.output}`);
  }

  async #writeCertificate(): Promise<void> {
    const authority = await makeAuthority();
    const { chain, key } = await authority.issue({ subject: "CN=real" });
    await mkdir(join(this.#folder, "certs"));
    await writeFile(join(this.#folder, "certs/cert.pem"), chain);
    await writeFile(join(this.#folder, "certs/key.pem"), key);
  }
}
