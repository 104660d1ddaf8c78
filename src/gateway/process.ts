import { fork, type ChildProcess } from "node:child_process";
import { extname } from "node:path";
import { fileURLToPath } from "node:url";
import { FORWARDER_FLAGS } from "../process/node-flags.ts";
import {
  unpackError,
  type GatewayCalls,
  type GatewayMessage,
  type GatewayMethod,
} from "./messages.ts";
import type { GatewayEvent } from "../contract/gateway-event.ts";

/** The process ended before it answered. */
export class ProcessEnded extends Error {
  override readonly name = "ProcessEnded";
}

/** One run of the gateway process. */
export class GatewayProcess {
  readonly pid: number | null;
  /** Resolves when the process is gone, with why in a sentence. Never rejects. */
  readonly ended: Promise<string>;
  readonly #child: ChildProcess;
  readonly #calls: Map<number, PromiseWithResolvers<unknown>> = new Map();
  #lastId = 0;

  constructor(
    runDirectory: string,
    useSystemRoots: boolean,
    onEvent: (event: GatewayEvent) => void,
  ) {
    this.#child = spawn(runDirectory, useSystemRoots);
    this.pid = this.#child.pid ?? null;
    this.#child.on("message", (message: GatewayMessage) => this.#receive(message, onEvent));
    this.ended = new Promise((fulfil) => {
      const end = (reason: string): void => {
        for (const { reject } of this.#calls.values()) reject(new ProcessEnded(reason));
        this.#calls.clear();
        fulfil(reason);
      };
      this.#child.once("error", (error) => end(`it could not be started: ${error.message}`));
      this.#child.once("exit", (code, signal) => {
        end(signal === null ? `it exited with status ${code}` : `it was ended by ${signal}`);
      });
    });
  }

  /** @throws Failure of the call; ProcessEnded */
  async call<M extends GatewayMethod>(
    method: M,
    ...args: Parameters<GatewayCalls[M]>
  ): Promise<ReturnType<GatewayCalls[M]>> {
    if (!this.#child.connected) throw new ProcessEnded(await this.ended);
    this.#lastId += 1;
    const id = this.#lastId;
    const answer = Promise.withResolvers<unknown>();
    this.#calls.set(id, answer);
    this.#child.send({ id, method, args }, (error) => {
      if (error !== null) answer.reject(new ProcessEnded(error.message));
    });
    return (await answer.promise) as ReturnType<GatewayCalls[M]>;
  }

  /** Asks it to end, and ends it if it does not within two seconds. */
  async stop(): Promise<void> {
    const timer = setTimeout(() => this.kill(), 2_000);
    this.call("stop").catch(() => this.kill());
    await this.ended;
    clearTimeout(timer);
  }

  kill(): void {
    this.#child.kill("SIGKILL");
  }

  #receive(message: GatewayMessage, onEvent: (event: GatewayEvent) => void): void {
    if (message.kind === "events") {
      for (const event of message.events) onEvent(event);
      return;
    }
    const answer = this.#calls.get(message.id);
    this.#calls.delete(message.id);
    if (message.kind === "result") answer?.resolve(message.value);
    else answer?.reject(unpackError(message.error));
  }
}

function spawn(runDirectory: string, useSystemRoots: boolean): ChildProcess {
  const main = fileURLToPath(new URL(`./main${extname(import.meta.url)}`, import.meta.url));
  // No debugger can be switched on from outside.
  const node = [process.execPath, "--disable-sigusr1", ...FORWARDER_FLAGS];
  // They join the public roots in Node's one store, which all TLS contexts share.
  if (useSystemRoots) node.push("--use-system-ca");
  // A core dump would write the keys to disk. Node has no way to set a limit; every shell has.
  const limited = ["-c", 'ulimit -c 0; exec "$0" "$@"', ...node];
  const windows = process.platform === "win32";
  return fork(main, [], {
    execPath: windows ? node[0]! : "/bin/sh",
    execArgv: windows ? node.slice(1) : limited,
    cwd: runDirectory,
    env: environment(),
    serialization: "advanced",
    stdio: ["ignore", 2, 2, "ipc"],
  });
}

/** Nothing of the supervisor's environment that could hold a secret, or change how TLS verifies. */
function environment(): NodeJS.ProcessEnv {
  const kept = [
    "PATH",
    "TZ",
    "LANG",
    "NODE_EXTRA_CA_CERTS",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
  ].flatMap((name) => {
    const value = process.env[name];
    return value === undefined ? [] : [[name, value]];
  });
  // Names are resolved on the thread pool: a slow DNS server must not hold up the others.
  return { ...Object.fromEntries(kept), UV_THREADPOOL_SIZE: "16" };
}
