import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { createInterface } from "node:readline";

export const root: string = join(import.meta.dirname, "../..");

/** A fenced block of a page. `name` says where it stands: `docs/keys.md:42`. */
export interface Block {
  readonly page: string;
  readonly name: string;
  readonly text: string;
}

/** Every block of shell in the README, CONTRIBUTING and `docs/`, in the order of the pages. */
export function shellBlocks(): readonly Block[] {
  const docs = readdirSync(join(root, "docs"), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".md"))
    .map((name) => `docs/${name}`);
  return ["README.md", "CONTRIBUTING.md", ...docs.toSorted()].flatMap((page) => {
    const text = readFileSync(join(root, page), "utf8");
    return [...text.matchAll(/^```(?:sh|bash|console)\n(.*?)^```/gms)].map((found) => ({
      page,
      name: `${page}:${text.slice(0, found.index).split("\n").length + 1}`,
      text: found[1]!,
    }));
  });
}

export interface Said {
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly env?: Readonly<Record<string, string>>;
  /** Is told all of stderr so far, each time that there is more. */
  readonly onSaid?: (stderr: string) => void;
}

/** A person at a terminal: one folder and home, with `countersign`, `npx` and `wrangler` in the path. */
export class Person implements Disposable {
  readonly folder: string = mkdtempSync(join(tmpdir(), "countersign-docs-"));
  readonly env: Record<string, string>;

  constructor(env: Readonly<Record<string, string>> = {}) {
    const bin = join(this.folder, ".bin");
    mkdirSync(bin);
    this.#program(
      bin,
      "countersign",
      `exec "${process.execPath}" "${root}/bin/countersign.js" "$@"`,
    );
    // What npx does with what is installed, without a second of npm's for each.
    this.#program(bin, "npx", `exec "$@"`);
    const path = [
      bin,
      join(root, "node_modules/.bin"),
      dirname(process.execPath),
      process.env["PATH"],
    ];
    this.env = {
      PATH: path.join(delimiter),
      HOME: this.folder,
      XDG_CONFIG_HOME: join(this.folder, ".config"),
      NO_COLOR: "1",
      CI: "true",
      WRANGLER_SEND_METRICS: "false",
      ...env,
    };
  }

  #program(bin: string, name: string, code: string): void {
    writeFileSync(join(bin, name), `#!/bin/sh\n${code}\n`);
    chmodSync(join(bin, name), 0o755);
  }

  write(files: Readonly<Record<string, string>>): void {
    for (const [name, text] of Object.entries(files)) {
      mkdirSync(dirname(join(this.folder, name)), { recursive: true });
      writeFileSync(join(this.folder, name), text);
    }
  }

  read(name: string): string {
    return readFileSync(join(this.folder, name), "utf8");
  }

  /** Runs a block as it stands. A line that fails fails the block. */
  async run(code: string, options: RunOptions = {}): Promise<Said> {
    const { status, ...said } = await this.ends(code, options);
    assert.equal(status, 0, `${code}\n${said.stdout}\n${said.stderr}`);
    return said;
  }

  /** As {@link run}, whatever its exit status. */
  async ends(
    code: string,
    { env = {}, onSaid = () => {} }: RunOptions = {},
  ): Promise<Said & { readonly status: number | null }> {
    const child = spawn("bash", ["-euo", "pipefail", "-c", code], {
      cwd: this.folder,
      env: { ...this.env, ...env },
      stdio: ["ignore", "pipe", "pipe"],
    });
    let stdout = "";
    let stderr = "";
    child.stdout.on("data", (chunk: Buffer) => (stdout += chunk.toString()));
    child.stderr.on("data", (chunk: Buffer) => {
      stderr += chunk.toString();
      onSaid(stderr);
    });
    const [status] = (await once(child, "close")) as [number | null];
    return { status, stdout, stderr };
  }

  /**
   * Runs one line of a program that goes on until it has printed a line that matches, and ends it
   * by a signal (default: SIGTERM), which it has to take as an end.
   */
  async until(
    line: string,
    ready: RegExp,
    { signal = "SIGTERM" }: { readonly signal?: NodeJS.Signals } = {},
  ): Promise<void> {
    const child = spawn("bash", ["-c", `exec ${line}`], {
      cwd: this.folder,
      env: this.env,
      stdio: ["ignore", "pipe", "pipe"],
    });
    const closed = once(child, "close") as Promise<[number | null]>;
    let said = "";
    child.stderr.on("data", (chunk: Buffer) => (said += chunk.toString()));
    const found = new Promise<boolean>((resolve) => {
      createInterface(child.stdout).on("line", (text) => {
        said += `${text}\n`;
        if (ready.test(text)) resolve(true);
      });
      void closed.then(() => resolve(false));
    });
    const isReady = await found;
    child.kill(signal);
    assert.ok(isReady, `${line}\nended before it was ready:\n${said}`);
    const [status] = await closed;
    assert.equal(status, 0, `${line}\n${said}`);
  }

  /** `countersign start …` with an own data folder, on free ports, until it is ready. */
  async starts(line: string): Promise<void> {
    const data = mkdtempSync(join(tmpdir(), "countersign-docs-data-"));
    try {
      const ports = line.includes("--https-port") ? "" : "--api-port 0 --http-port 0";
      await this.until(`${line} --json --data ${data} ${ports}`, /^\{"ready":true/);
    } finally {
      rmSync(data, { recursive: true, force: true });
    }
  }

  [Symbol.dispose](): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}
