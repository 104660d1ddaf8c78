import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { program } from "./program.ts";

const freePorts = ["--api-port", "0", "--http-port", "0"];

/** The line that `countersign start --json` prints once it is ready. */
export interface Ready {
  readonly ready: true;
  readonly api: string;
  readonly http: string;
  /** Null without `--https-port`. */
  readonly https: string | null;
  /** Only with `--metrics-port`. */
  readonly metrics?: string;
  /** Only with `--worker-port` or `--worker-socket`. */
  readonly workers?: Readonly<Record<string, readonly string[]>>;
  readonly accountId: string;
  readonly token: string;
}

/** `countersign start`, as its users run it: a separate process, on free ports. */
export interface TestPlatform extends AsyncDisposable {
  readonly ready: Ready;
  readonly dataFolder: string;
  readonly process: ChildProcess;
  /** Everything on stderr so far. */
  log(): string;
  /** Ends it with a signal; the data folder stays. Resolves when the process is gone. */
  end(signal: NodeJS.Signals): Promise<number | null>;
  /** A request to the API with the first token. */
  api(method: string, path: string, body?: unknown): Promise<{ status: number; json: Envelope }>;
  /** Sends a request to a Worker, as `curl http://{script}.localhost:PORT{path}` does. */
  worker(
    script: string,
    path?: string,
    headers?: Readonly<Record<string, string>>,
  ): Promise<WorkerAnswer>;
}

export interface Envelope {
  readonly success: boolean;
  readonly errors: readonly { readonly code: number; readonly message: string }[];
  // oxlint-disable-next-line typescript/no-explicit-any
  readonly result: any;
}

export interface WorkerAnswer {
  readonly url: string;
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: string;
}

export interface TestPlatformOptions {
  /** A folder that is kept. Default: a temporary folder, removed at the end. */
  readonly dataFolder?: string;
  /** More arguments of `start`. Default: `--dev`. */
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** The first start's token, for a folder that was used before. */
  readonly token?: string;
}

/** @throws Error with its whole log, if it ends before it is ready */
export async function startPlatform(options: TestPlatformOptions = {}): Promise<TestPlatform> {
  const dataFolder = options.dataFolder ?? mkdtempSync(join(tmpdir(), "countersign-test-"));
  const child = spawn(
    process.execPath,
    [
      program,
      "start",
      "--json",
      "--data",
      dataFolder,
      ...freePorts,
      ...(options.args ?? ["--dev"]),
    ],
    { stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, ...options.env } },
  );
  let log = "";
  child.stderr.on("data", (chunk: Buffer) => (log += chunk.toString()));
  const ended = once(child, "close") as Promise<[number | null]>;
  const end = async (signal: NodeJS.Signals): Promise<number | null> => {
    child.kill(signal);
    return (await ended)[0];
  };
  const dispose = async (): Promise<void> => {
    await end("SIGTERM");
    if (options.dataFolder === undefined) rmSync(dataFolder, { recursive: true, force: true });
  };
  const first = await Promise.race([
    once(createInterface(child.stdout), "line") as Promise<[string]>,
    ended.then(() => null),
  ]);
  if (first === null) {
    await dispose();
    throw new Error(`countersign start ended before it was ready:\n${log}`);
  }
  const said = JSON.parse(first[0]) as Ready;
  const ready: Ready = { ...said, token: said.token ?? options.token };
  return {
    ready,
    dataFolder,
    process: child,
    log: () => log,
    end,
    api: (method, path, body) => callApi(ready, method, path, body),
    worker: (script, path = "/", headers = {}) => requestWorker(ready, script, path, headers),
    [Symbol.asyncDispose]: dispose,
  };
}

async function callApi(
  ready: Ready,
  method: string,
  path: string,
  body: unknown,
): Promise<{ status: number; json: Envelope }> {
  const response = await fetch(ready.api + path.replace("{account}", ready.accountId), {
    method,
    headers: { authorization: `Bearer ${ready.token}` },
    ...(body !== undefined && { body: body instanceof FormData ? body : JSON.stringify(body) }),
  });
  return { status: response.status, json: (await response.json()) as Envelope };
}

/**
 * Names under localhost are loopback (RFC 6761). curl and browsers know that, but Node's resolver may not, so the
 * address is given.
 */
function requestWorker(
  ready: Ready,
  script: string,
  path: string,
  more: Readonly<Record<string, string>>,
): Promise<WorkerAnswer> {
  const { hostname: written, port } = new URL(ready.http);
  const hostname = written.replace(/^\[(.*)\]$/, "$1");
  const host = `${script}.localhost:${port}`;
  const headers = { ...more, host };
  return new Promise((resolve, reject) => {
    request({ hostname, port, path, headers, agent: false }, (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("error", reject);
      response.on("end", () =>
        resolve({
          url: `http://${host}${path}`,
          status: response.statusCode ?? 0,
          headers: response.headers,
          body: Buffer.concat(chunks).toString(),
        }),
      );
    })
      .on("error", reject)
      .end();
  });
}
