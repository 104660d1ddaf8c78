import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { once } from "node:events";
import type { Lab, LabProcess } from "../lab.ts";

/** The Worker of every subject: it calls an origin with a certificate as users do. */
export const WORKER = `export default {
  fetch(request, env) {
    const { pathname } = new URL(request.url);
    return env.ORIGIN.fetch((pathname.startsWith("/resumed/") ? env.RESUMES : env.BASE) + pathname);
  },
};
`;

export interface WorkerdRun extends LabProcess {
  /** The port of the socket called `main`. 0: there is none. */
  readonly port: number;
}

/** Runs a hand-written configuration with one socket, and waits until it listens. */
export async function runWorkerd(lab: Lab, name: string, config: string): Promise<WorkerdRun> {
  const file = `${name}.capnp`;
  await lab.write(
    file,
    `using Workerd = import "/workerd/workerd.capnp";\nconst config :Workerd.Config = ${config};\n`,
  );
  return runPrepared(lab, file, 1, []);
}

/** Runs a configuration in the lab's folder, and waits until its sockets listen. */
export async function runPrepared(
  lab: Lab,
  file: string,
  sockets: number,
  options: readonly string[],
): Promise<WorkerdRun> {
  const run = lab.spawn(WORKERD, ["serve", file, "--control-fd=3", ...options], {
    stdio: ["ignore", "pipe", "pipe", "pipe"],
  });
  const lines = createInterface({ input: run.child.stdio[3] as Readable });
  let port = 0;
  let count = 0;
  const listens = new Promise<void>((resolve) => {
    lines.on("line", (line) => {
      const event = JSON.parse(line) as { socket: string; port?: number };
      if (event.socket === "main") port = event.port ?? 0;
      if (++count === sockets) resolve();
    });
  });
  await Promise.race([
    listens,
    once(run.child, "close", { signal: lab.signal }).then(() => {
      throw new Error(`workerd with ${file} did not start`);
    }),
  ]);
  return { ...run, port };
}

export interface WorkerConfig {
  /** The configuration of the service `env.ORIGIN`, such as `(name = "origin", network = (…))`. */
  readonly origin: string;
  /** Prefix of each path: `https://localhost:PORT`. */
  readonly base: string;
  /** The same for `/resumed/…`. Default: `base`. */
  readonly resumes?: string;
  readonly v8Flags?: readonly string[];
}

/** The configuration of a process that runs `WORKER` on a free port. */
export function workerConfig({ origin, base, resumes = base, v8Flags = [] }: WorkerConfig): string {
  return `(
    v8Flags = ${text(v8Flags)},
    sockets = [(name = "main", address = "127.0.0.1:0", http = (), service = "worker")],
    services = [
      ${origin},
      (name = "worker", worker = (
        modules = [(name = "worker.js", esModule = ${text(WORKER)})],
        compatibilityDate = "2026-11-17",
        bindings = [
          (name = "ORIGIN", service = "origin"),
          (name = "BASE", text = ${text(base)}),
          (name = "RESUMES", text = ${text(resumes)}),
        ],
      )),
    ],
  )`;
}

/** For ASCII strings, Cap'n Proto's text form is the same as JSON's. */
export function text(value: string | readonly string[]): string {
  return JSON.stringify(value);
}

const WORKERD: string = (createRequire(import.meta.url)("workerd") as { default: string }).default;
