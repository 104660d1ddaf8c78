import { spawn, type ChildProcess, type StdioOptions } from "node:child_process";
import { once } from "node:events";
import { accessSync, constants } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { connect, createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";

/** Aborts when the user presses Ctrl-C. */
export function stopSignal(): AbortSignal {
  const stop = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.once(signal, () => stop.abort(new Error(`stopped by ${signal}`)));
  }
  // `npm run bench | head` closes the pipe; then everything that was started must end too.
  process.stdout.on("error", (error) => stop.abort(error));
  return stop.signal;
}

/** A process that the lab has started and will end. */
export interface LabProcess {
  readonly pid: number;
  readonly child: ChildProcess;
}

export interface SpawnOptions {
  readonly env?: NodeJS.ProcessEnv;
  readonly stdio?: StdioOptions;
}

/** A temporary folder and the processes that run in it. All of it is removed when the lab is disposed of. */
export class Lab implements AsyncDisposable {
  readonly folder: string;
  /** Aborts when the user presses Ctrl-C. */
  readonly signal: AbortSignal;
  readonly #processes: { readonly child: ChildProcess; readonly ended: Promise<unknown> }[] = [];
  #closing = false;

  private constructor(folder: string, signal: AbortSignal) {
    this.folder = folder;
    this.signal = signal;
  }

  static async open(signal: AbortSignal): Promise<Lab> {
    return new Lab(await mkdtemp(join(tmpdir(), "countersign-bench-")), signal);
  }

  path(name: string): string {
    return join(this.folder, name);
  }

  async write(name: string, content: string | Uint8Array): Promise<string> {
    const path = this.path(name);
    await writeFile(path, content, { mode: 0o600 });
    return path;
  }

  /** Starts a server. If it ends before the lab does, its last output is shown. */
  spawn(file: string, args: readonly string[], options: SpawnOptions = {}): LabProcess {
    this.signal.throwIfAborted();
    const child = spawn(file, args, {
      cwd: this.folder,
      stdio: options.stdio ?? ["ignore", "pipe", "pipe"],
      env: options.env ?? process.env,
    });
    let said = "";
    for (const stream of [child.stdout, child.stderr]) {
      stream?.on("data", (chunk: Buffer) => (said = (said + chunk.toString()).slice(-2_000)));
    }
    child.on("error", (error) => (said += error.message));
    const ended = new Promise((resolve) => child.once("close", resolve));
    child.once("close", () => {
      if (!this.#closing) process.stderr.write(`${file} ended early: ${said}\n`);
    });
    this.#processes.push({ child, ended });
    return { pid: child.pid ?? 0, child };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing = true;
    for (const { child } of this.#processes) child.kill("SIGTERM");
    const grace = setTimeout(() => {
      for (const { child } of this.#processes) child.kill("SIGKILL");
    }, 2_000);
    await Promise.all(this.#processes.map(({ ended }) => ended));
    clearTimeout(grace);
    await rm(this.folder, { recursive: true, force: true });
  }
}

/** A port that was free a moment ago, because nginx and HAProxy cannot report the port they took. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

/** Resolves when something accepts connections there. @throws after 10 s */
export async function listening(where: number | string, signal: AbortSignal): Promise<void> {
  const until = Date.now() + 10_000;
  for (;;) {
    if (await accepts(where)) return;
    if (Date.now() > until) throw new Error(`nothing listens on ${where}`);
    await delay(20, null, { signal });
  }
}

/** The program's path; folders where Debian installs servers are searched too. Null: not installed. */
export function findProgram(name: string): string | null {
  for (const folder of [...(process.env["PATH"] ?? "").split(delimiter), "/usr/sbin", "/sbin"]) {
    const path = join(folder, name);
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // Not in this folder.
    }
  }
  return null;
}

function accepts(where: number | string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket =
      typeof where === "number" ? connect(where, "127.0.0.1") : connect({ path: where });
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}
