import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { root } from "./blocks.ts";

export interface Said {
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly env?: Readonly<Record<string, string>>;
  /** Called with all of stderr so far, whenever there is more. */
  readonly onSaid?: (stderr: string) => void;
}

/** A person at a terminal: a folder and a home, with `countersign`, `npx` and `wrangler` in the path. */
export class Person implements Disposable {
  readonly folder: string = mkdtempSync(join(tmpdir(), "countersign-docs-"));
  readonly env: Record<string, string>;

  constructor(env: Readonly<Record<string, string>> = {}) {
    const bin = join(this.folder, ".bin");
    mkdirSync(bin);
    this.program("countersign", `exec "${process.execPath}" "${root}/bin/countersign.js" "$@"`);
    // Runs installed programs as npx does, but without the second that npm takes for each.
    this.program("npx", `exec "$@"`);
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

  /** Adds a program to the path, given as shell code. */
  program(name: string, code: string): void {
    const bin = join(this.folder, ".bin");
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

  /** Runs a block unchanged. The block fails if one of its lines fails. */
  async run(code: string, options: RunOptions = {}): Promise<Said> {
    const { status, ...said } = await this.ends(code, options);
    assert.equal(status, 0, `${code}\n${said.stdout}\n${said.stderr}`);
    return said;
  }

  /** Like {@link run}, but accepts any exit status. */
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
   * Runs one line whose program keeps running, until it has printed a line that matches, then ends it by SIGTERM.
   * `ends` are the exit statuses that are accepted (null: ended by the signal itself).
   */
  async until(
    line: string,
    ready: RegExp,
    { ends = [0] }: { readonly ends?: readonly (number | null)[] } = {},
  ): Promise<void> {
    const child = spawn("bash", ["-c", /^[A-Z_]+=/.test(line) ? line : `exec ${line}`], {
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
    child.kill("SIGTERM");
    assert.ok(isReady, `${line}\nended before it was ready:\n${said}`);
    const [status] = await closed;
    assert.ok(ends.includes(status), `${line}\nended with ${status}\n${said}`);
  }

  /** Runs `countersign start …` with its own data folder, on free ports, until it is ready. */
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
