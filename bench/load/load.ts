import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { findProgram } from "../lab.ts";

export interface LoadOrder {
  /** `http://127.0.0.1:PORT/path` */
  readonly url: string;
  /** The `Host` to send. Default: that of the URL. */
  readonly host?: string;
  /** Other fields to send. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Connections, each of which sends its next request after the previous answer. */
  readonly connections: number;
  readonly seconds: number;
}

export interface LoadResult {
  readonly requests: number;
  readonly rps: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

export interface Load {
  readonly name: string;
  /** @throws if a request was not answered, or was answered with a status of 400 or more */
  run(order: LoadOrder, signal: AbortSignal): Promise<LoadResult>;
}

/** wrk, whose own CPU use is very small; without it, the client over undici. */
export function findLoad(): Load {
  const wrk = findProgram("wrk");
  if (wrk === null) {
    return {
      name: "undici, for wrk is not installed",
      run: ({ url, ...rest }, signal) => {
        const { origin, pathname, search } = new URL(url);
        return runClient({ ...rest, base: origin, path: pathname + search }, signal);
      },
    };
  }
  return {
    name: "wrk",
    run: async ({ url, host, headers = {}, connections, seconds }, signal) => {
      const script = fileURLToPath(new URL("wrk.lua", import.meta.url));
      const fields = Object.entries({ ...(host !== undefined && { Host: host }), ...headers });
      const sent = fields.flatMap(([name, value]) => ["-H", `${name}: ${value}`]);
      const rest = ["--timeout=10s", "-s", script, ...sent, url];
      const args = ["-t1", `-c${connections}`, `-d${seconds}s`, ...rest];
      return parse(await output(wrk, args, signal), url);
    },
  };
}

export interface ClientOrder {
  readonly base: string;
  /** The target in the request line: an absolute URL for a proxy. */
  readonly path: string;
  readonly host?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly connections: number;
  readonly seconds: number;
  /** Unix sockets, assigned to the connections in turn. Default: connect to `base`. */
  readonly sockets?: readonly string[];
  /** Only if `base` is `https:`. */
  readonly tls?: ClientTls;
  /** Connections are opened first, with one request each; then it prints `READY`, and waits for a line. */
  readonly isStarted?: boolean;
}

/** Options of a `node:tls` client, as JSON. */
export interface ClientTls {
  readonly servername: string;
  readonly ca: string;
  readonly cert?: string;
  readonly key?: string;
  readonly ciphers: string;
  readonly ecdhCurve: string;
}

/** Like `Load.run`, but with undici, which supports Unix sockets and absolute URLs. */
export async function runClient(
  order: ClientOrder,
  signal: AbortSignal,
  started?: () => void,
): Promise<LoadResult> {
  const script = fileURLToPath(new URL("client.ts", import.meta.url));
  const args = [script, JSON.stringify({ ...order, isStarted: started !== undefined })];
  return parse(await output(process.execPath, args, signal, started), order.path);
}

/**
 * The output of a program.
 * @param started called once it has printed `READY`, before it is told to go on
 * @throws if it fails, or the signal aborts (then it is ended first)
 */
export function output(
  file: string,
  args: readonly string[],
  signal: AbortSignal,
  started?: () => void,
): Promise<string> {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted();
    const child = spawn(file, args, { stdio: ["pipe", "pipe", "pipe"], signal });
    // If the program ends without reading its input, its exit status says so.
    child.stdin.on("error", () => {});
    if (started === undefined) child.stdin.end();
    let out = "";
    let err = "";
    child.stdout.on("data", (chunk: Buffer) => {
      const isReady = /^READY$/m.test(out);
      out += chunk.toString();
      if (isReady || !/^READY$/m.test(out)) return;
      started?.();
      child.stdin.end("go\n");
    });
    child.stderr.on("data", (chunk: Buffer) => (err += chunk.toString()));
    let failure: Error | null = null;
    child.once("error", (error) => (failure = error));
    child.once("close", (status) => {
      if (failure !== null) reject(failure);
      else if (status === 0) resolve(out);
      else reject(new Error(`${file} exited with status ${status}: ${err || out}`));
    });
  });
}

interface Printed {
  readonly requests: number;
  readonly microseconds: number;
  readonly p50: number;
  readonly p99: number;
  readonly failed: number;
  readonly unexpected: number;
}

function parse(text: string, what: string): LoadResult {
  const line = /^RESULT (.+)$/m.exec(text)?.[1];
  if (line === undefined) throw new Error(`no result for ${what}: ${text}`);
  const { requests, microseconds, p50, p99, failed, unexpected } = JSON.parse(line) as Printed;
  if (failed > 0 || unexpected > 0 || requests === 0) {
    throw new Error(
      `${what}: of ${requests} requests ${failed} were not answered, ${unexpected} with an error`,
    );
  }
  return { requests, rps: requests / (microseconds / 1e6), p50Ms: p50 / 1e3, p99Ms: p99 / 1e3 };
}
