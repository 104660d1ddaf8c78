import { fork, type ChildProcess } from "node:child_process";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";
import type { Logger } from "pino";
import { Failure } from "../failures/failures.ts";
import { FORWARDER_FLAGS } from "./node-flags.ts";
import { Backoff } from "./backoff.ts";
import type { ProcessStatus } from "../contract/edge.ts";
import type { ProcessRecords } from "./orphans.ts";

export interface ChildOptions {
  /** As it is called in messages: `ingress`. */
  readonly name: string;
  readonly modulePath: string;
  readonly workingDirectory: string;
  readonly processes: ProcessRecords;
  readonly log: Logger;
  /** Tells a fresh process everything it has to know. A process that cannot be told is killed. */
  restore(this: void, call: Call): Promise<void>;
}

/** One request to the process, answered by it. */
export type Call = (method: string, parameters: unknown) => Promise<unknown>;

/** The process ended before it answered. */
class ChildEnded extends Error {
  override readonly name = "ChildEnded";
}

/** A Node process of our own that speaks over IPC, and is started again when it ends. */
export class Child implements AsyncDisposable {
  readonly #options: ChildOptions;
  readonly #backoff = new Backoff();
  readonly #stopping = new AbortController();
  #current: Connection | null = null;
  #ready: Promise<Connection>;
  #running: Promise<void> = Promise.resolve();
  #state: ProcessStatus["state"] = "starting";
  #restarts = 0;
  #lastExit: string | null = null;

  private constructor(options: ChildOptions) {
    this.#options = options;
    this.#ready = this.#launch();
  }

  /** @throws Failure `edge_process_failed` if the first process ends before it was told everything */
  static async start(options: ChildOptions): Promise<Child> {
    const child = new Child(options);
    await child.#ready;
    return child;
  }

  /**
   * Waits until a process runs that knows everything, and asks it; if it ends instead of answering,
   * asks the next one. So what is asked must do no harm when it is done twice.
   * @throws Error with what the process refuses; ChildEnded once this was stopped
   */
  async call(method: string, parameters: unknown): Promise<unknown> {
    for (;;) {
      const connection = await this.#ready;
      try {
        return await connection.call(method, parameters);
      } catch (error) {
        if (!(error instanceof ChildEnded) || this.#stopping.signal.aborted) throw error;
      }
    }
  }

  status(): ProcessStatus {
    return {
      pid: this.#current?.pid ?? null,
      state: this.#state,
      restarts: this.#restarts,
      lastExit: this.#lastExit,
    };
  }

  /** SIGTERM; SIGKILL after `grace` ms. */
  async stop(grace: number): Promise<void> {
    this.#stopping.abort();
    this.#state = "draining";
    await this.#current?.stop(grace);
    await this.#ready.catch(() => {});
    await this.#running;
    this.#state = "stopped";
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop(0);
  }

  async #launch(): Promise<Connection> {
    const { name, restore } = this.#options;
    const connection = new Connection(this.#options);
    this.#current = connection;
    const timer = setTimeout(() => void connection.stop(0), START_TIMEOUT);
    try {
      await restore((method, parameters) => connection.call(method, parameters));
    } catch (error) {
      await connection.stop(0);
      this.#current = null;
      throw new Failure("edge_process_failed", {
        message: `the ${name} does not start: ${error instanceof Error ? error.message : String(error)}`,
        cause: error,
      });
    } finally {
      clearTimeout(timer);
    }
    this.#state = "running";
    const since = performance.now();
    this.#running = connection.ended.then((reason) =>
      this.#ended(reason, performance.now() - since),
    );
    return connection;
  }

  async #ended(reason: string, ranFor: number): Promise<void> {
    this.#current = null;
    if (this.#stopping.signal.aborted) return;
    this.#failed(reason);
    this.#ready = this.#restart(ranFor);
    this.#ready.catch(() => {});
    await this.#ready.catch(() => {});
  }

  async #restart(ranFor: number): Promise<Connection> {
    const { signal } = this.#stopping;
    for (;;) {
      await delay(this.#backoff.next(ranFor), null, { signal });
      this.#restarts++;
      try {
        return await this.#launch();
      } catch (error) {
        this.#failed(error instanceof Error ? error.message : String(error));
      }
      ranFor = 0;
    }
  }

  #failed(reason: string): void {
    this.#state = "restarting";
    this.#lastExit = reason;
    this.#options.log.error({ reason }, `the ${this.#options.name} ended, it is started again`);
  }
}

interface Reply {
  readonly id: number;
  readonly result?: unknown;
  readonly error?: string;
}

class Connection {
  readonly ended: Promise<string>;
  readonly #process: ChildProcess;
  readonly #calls = new Map<number, PromiseWithResolvers<unknown>>();
  #count = 0;
  #end: string | null = null;

  constructor({ name, modulePath, workingDirectory, processes, log }: ChildOptions) {
    const child = fork(modulePath, {
      cwd: workingDirectory,
      // Nothing of our environment, where the master key may stand, reaches it.
      env: {},
      execArgv: [...FORWARDER_FLAGS],
      stdio: ["ignore", "pipe", "pipe", "ipc"],
      serialization: "advanced",
    });
    this.#process = child;
    const last: string[] = [];
    for (const stream of [child.stdout!, child.stderr!]) {
      createInterface({ input: stream }).on("line", (line) => {
        last.push(line);
        if (last.length > LAST_LINES) last.shift();
        log.warn({ from: name }, line);
      });
    }
    child.on("message", (message) => this.#answered(message as Reply));
    this.ended = new Promise((resolve) => {
      child.once("error", (error) => resolve(error.message));
      child.once("close", (status, signal) => {
        const how = signal === null ? `exited with status ${status}` : `killed by ${signal}`;
        resolve(status === 0 || last.length === 0 ? how : `${how}: ${last.join(" ")}`);
      });
    });
    void this.ended.then((reason) => this.#lost(reason));
    const { pid } = child;
    if (pid !== undefined) {
      void processes.add(pid);
      void this.ended.then(() => processes.remove(pid));
    }
  }

  get pid(): number | null {
    return this.#process.pid ?? null;
  }

  call(method: string, parameters: unknown): Promise<unknown> {
    const call = Promise.withResolvers<unknown>();
    if (this.#end !== null) {
      call.reject(new ChildEnded(this.#end));
      return call.promise;
    }
    const id = ++this.#count;
    this.#calls.set(id, call);
    // What cannot be sent any more is rejected when the process has ended.
    this.#process.send({ id, method, parameters }, () => {});
    return call.promise;
  }

  async stop(grace: number): Promise<void> {
    this.#process.kill(grace > 0 ? "SIGTERM" : "SIGKILL");
    const timer = setTimeout(() => this.#process.kill("SIGKILL"), grace);
    await this.ended;
    clearTimeout(timer);
  }

  #answered({ id, result, error }: Reply): void {
    const call = this.#settle(id);
    if (error === undefined) call?.resolve(result);
    else call?.reject(new Error(error));
  }

  #settle(id: number): PromiseWithResolvers<unknown> | undefined {
    const call = this.#calls.get(id);
    this.#calls.delete(id);
    return call;
  }

  #lost(reason: string): void {
    this.#end = reason;
    for (const id of this.#calls.keys()) this.#settle(id)!.reject(new ChildEnded(reason));
  }
}

/** ms to come up and be told everything */
const START_TIMEOUT = 30_000;
const LAST_LINES = 8;
