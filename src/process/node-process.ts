import type { SendHandle } from "node:child_process";
import type { Logger } from "pino";
import { Failure } from "../failures/failures.ts";
import type { Run } from "./kept.ts";
import { onLines } from "./lines.ts";
import { relayLine } from "./log-lines.ts";
import { unpackError, type FromProcess, type ToProcess } from "./messages.ts";
import { nodeCommand } from "./node-command.ts";
import { PassedHandle } from "./passed-handle.ts";
import type { ProcessRecords } from "./orphans.ts";
import { spawnProcess, type Spawned } from "./spawned.ts";
import type { ProcessUser } from "./walls/process-users.ts";

export interface NodeProcessOptions {
  /** As it is called in messages: `ingress`. */
  readonly name: string;
  readonly modulePath: string;
  readonly workingDirectory: string;
  /** Default: that of this process. */
  readonly user?: ProcessUser | null;
  /** Besides what every process of ours is run with. */
  readonly flags?: readonly string[];
  /** All of it but `compiledCode`: nothing of ours, where the master key may stand, reaches the process. */
  readonly environment?: NodeJS.ProcessEnv;
  /** Null: it ends with its supervisor, and the next start does not look for it. */
  readonly processes: ProcessRecords | null;
  readonly log: Logger;
  /** Pipes besides, at its descriptors 4 and on. Default: none. */
  readonly pipes?: number;
  /** What it tells unasked. */
  onEvent?(this: void, event: unknown): void;
  /** What it asks. */
  onAsk?(this: void, question: unknown): Promise<unknown>;
  /** How often it has to show that it is alive. Default: 6 times at 1,000 ms. */
  readonly heartbeat?: Heartbeat;
}

export interface Heartbeat {
  /** ms between two pings */
  readonly every: number;
  /** A process that left so many without an answer is ended. */
  readonly missed: number;
}

/** The process ended before it answered. */
export class ProcessEnded extends Error {
  override readonly name = "ProcessEnded";
}

/** One run of a Node process of our own, which answers calls over IPC. */
export class NodeProcess implements Run {
  readonly pid: number;
  readonly ended: Promise<string>;
  readonly #options: NodeProcessOptions;
  readonly #spawned: Spawned;
  readonly #calls = new Map<number, PromiseWithResolvers<unknown>>();
  /** Its last lines that were no log. */
  readonly #last: string[] = [];
  #count = 0;
  #end: string | null = null;
  /** Why it was ended, or ended itself. */
  #cause: string | null = null;
  #missed = 0;

  private constructor(options: NodeProcessOptions, spawned: Spawned) {
    this.#options = options;
    this.#spawned = spawned;
    this.pid = spawned.pid;
    const { child } = spawned;
    for (const stream of [child.stdout, child.stderr]) {
      if (stream) onLines(stream, (line) => this.#line(line));
    }
    child.on("message", (message) => this.#receive(message as FromProcess));
    this.ended = spawned.ended.then((how) => this.#lost(how));
  }

  /** @throws Failure `process_not_started` */
  static async start(options: NodeProcessOptions): Promise<NodeProcess> {
    const { flags = [], environment = {}, workingDirectory: cwd, modulePath } = options;
    const [file, ...args] = nodeCommand(flags, options.user ?? null);
    const spawned = await spawnProcess(file, [...args, modulePath], {
      cwd,
      env: { ...compiledCode(), ...environment },
      stdio: [
        "ignore",
        "pipe",
        "pipe",
        "ipc",
        ...Array.from({ length: options.pipes ?? 0 }, () => "pipe" as const),
      ],
      serialization: "advanced",
    });
    const { pid } = spawned;
    void options.processes?.add(pid).catch(() => {});
    void spawned.ended.then(() => options.processes?.remove(pid)).catch(() => {});
    return new NodeProcess(options, spawned);
  }

  /** Those that were asked for, in order. */
  get pipes(): readonly unknown[] {
    const stdio: readonly unknown[] = this.#spawned.child.stdio;
    return stdio.slice(4);
  }

  /**
   * @throws what the process refuses, ProcessEnded, or the signal's reason: the process is told
   * then that nobody waits any more
   */
  call(method: string, args: readonly unknown[], signal?: AbortSignal): Promise<unknown> {
    const answer = Promise.withResolvers<unknown>();
    if (this.#end !== null) answer.reject(new ProcessEnded(this.#end));
    if (signal?.aborted) answer.reject(signal.reason as Error);
    if (this.#end !== null || signal?.aborted) return answer.promise;
    const id = ++this.#count;
    this.#calls.set(id, answer);
    const abort = (): void => {
      this.#settle(id)?.reject(signal!.reason as Error);
      this.#send({ kind: "cancel", id });
    };
    signal?.addEventListener("abort", abort);
    const last = args.at(-1);
    if (last instanceof PassedHandle) {
      this.#send({ kind: "call", id, method, args: args.slice(0, -1) }, last.handle, (error) =>
        this.#settle(id)?.reject(error),
      );
    } else this.#send({ kind: "call", id, method, args });
    return answer.promise.finally(() => signal?.removeEventListener("abort", abort));
  }

  /**
   * From now on, a process that hangs is ended: one that is stopped, or whose event loop is
   * blocked.
   */
  watch(): void {
    const { every, missed } = this.#options.heartbeat ?? { every: 1_000, missed: 6 };
    const timer = setInterval(() => {
      // Pings are counted, not timed: if this process itself was stopped, it first reads the
      // answers.
      if (this.#missed >= missed) {
        clearInterval(timer);
        this.kill(`it did not answer for ${(every * missed) / 1000} s`);
        return;
      }
      this.#missed++;
      this.#send({ kind: "ping" });
    }, every);
    void this.ended.then(() => clearInterval(timer));
  }

  async stop(grace: number): Promise<void> {
    if (grace <= 0) this.#spawned.child.kill("SIGKILL");
    else this.#send({ kind: "stop" });
    const timer = setTimeout(() => this.#spawned.child.kill("SIGKILL"), grace);
    await this.ended;
    clearTimeout(timer);
  }

  /** @param cause is told as the reason of its end */
  kill(cause: string): void {
    this.#cause ??= cause;
    this.#spawned.child.kill("SIGKILL");
  }

  #send(message: ToProcess, handle?: object, failed?: (error: Error) => void): void {
    const { child } = this.#spawned;
    // What cannot be sent any more is rejected when the process has ended.
    if (!child.connected) return;
    child.send(message, handle as SendHandle | undefined, (error) => {
      if (error !== null && child.connected) failed?.(error);
    });
  }

  #receive(message: FromProcess): void {
    switch (message.kind) {
      case "result":
        this.#settle(message.id)?.resolve(message.value);
        return;
      case "error":
        this.#settle(message.id)?.reject(unpackError(message.error));
        return;
      case "pong":
        this.#missed = 0;
        return;
      case "event":
        this.#options.onEvent?.(message.event);
        return;
      case "ask":
        void this.#tell(message.id, message.question);
        return;
      case "fatal": {
        const { name, log } = this.#options;
        this.#cause ??= message.message;
        log.error({ from: name, stack: message.stack }, `an exception ends the ${name}`);
      }
    }
  }

  async #tell(id: number, question: unknown): Promise<void> {
    const value = await this.#options.onAsk?.(question).catch(() => undefined);
    this.#send({ kind: "told", id, value });
  }

  #settle(id: number): PromiseWithResolvers<unknown> | undefined {
    const call = this.#calls.get(id);
    this.#calls.delete(id);
    return call;
  }

  #line(line: string): void {
    if (relayLine(this.#options.log, this.#options.name, line)) return;
    this.#last.push(line);
    if (this.#last.length > LAST_LINES) this.#last.shift();
  }

  #lost(how: string): string {
    const words = this.#cause ?? (how.endsWith("status 0") ? null : this.#last.join(" ") || null);
    const reason = words === null ? how : `${how}: ${words}`;
    this.#end = reason;
    for (const id of this.#calls.keys()) this.#settle(id)!.reject(new ProcessEnded(reason));
    return reason;
  }
}

const LAST_LINES = 8;

/** The error for a caller: its call was not answered, and is not repeated. */
export function endedFailure(name: string, reason: string): Failure {
  return new Failure("edge_process_ended", {
    message: `the ${name} ended before it had answered: ${reason}`,
    facts: { process: name, reason },
  });
}

/** Node's compile cache, if this process has one. It contains no data of users. */
function compiledCode(): NodeJS.ProcessEnv {
  const { NODE_COMPILE_CACHE: folder } = process.env;
  return folder === undefined ? {} : { NODE_COMPILE_CACHE: folder };
}
