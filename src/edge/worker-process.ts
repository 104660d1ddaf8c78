import { setTimeout as delay } from "node:timers/promises";
import { Backoff } from "../process/backoff.ts";
import type { ProcessStatus, WorkerStatus } from "../contract/edge.ts";
import { GenerationFolder } from "./generation-folder.ts";
import { Launcher, type GenerationContext } from "./launcher.ts";
import type { RunnableVersion } from "./in-process.ts";
import type { WorkerdProcess } from "./workerd.ts";
import type { LaidOutVersion } from "./workerd-config.ts";

/** One process of a generation: its folder, its sockets, and a workerd that is started again when it ends. */
export class WorkerProcess {
  readonly version: LaidOutVersion;
  readonly #context: GenerationContext;
  readonly #folder: GenerationFolder;
  readonly #launcher: Launcher;
  readonly #backoff = new Backoff();
  readonly #stopping = new AbortController();
  #process: WorkerdProcess | null = null;
  #launching: Promise<void> = Promise.resolve();
  #restarting: Promise<void> = Promise.resolve();
  #state: ProcessStatus["state"] = "starting";
  #restarts = 0;
  #lastExit: string | null = null;

  private constructor(
    context: GenerationContext,
    folder: GenerationFolder,
    version: LaidOutVersion,
  ) {
    this.#context = context;
    this.#folder = folder;
    this.version = version;
    this.#launcher = new Launcher(context, folder, version);
  }

  /** Its files and its bindings are there, its process is not. */
  static async create(
    context: GenerationContext,
    version: RunnableVersion,
  ): Promise<WorkerProcess> {
    const { folder, stored } = await GenerationFolder.write(context.run, context.nextId(), version);
    return new WorkerProcess(context, folder, stored).#prepare();
  }

  /** Another one for the same version. */
  async another(): Promise<WorkerProcess> {
    const context = this.#context;
    const folder = await this.#folder.copy(context.run, context.nextId(), this.version);
    return new WorkerProcess(context, folder, this.version).#prepare();
  }

  get socket(): string {
    return this.#launcher.socket;
  }

  get entrypoints(): ReadonlyMap<string, string> {
    return this.#launcher.entrypoints;
  }

  /** Is there an entrypoint that others bind by now, but that this one did not know of? */
  get isIncomplete(): boolean {
    return this.#launcher.isIncomplete;
  }

  /**
   * Resolves once it has answered a probe; from then on it is kept running.
   * @throws Failure `worker_start_failed`, `worker_start_timeout`; nothing of it is left then
   */
  async start(): Promise<void> {
    try {
      await this.#launch();
    } catch (error) {
      await this.stop(0);
      throw error;
    }
  }

  /** Like `start`, but goes on trying: for what was deployed, whatever state it is in. */
  async startOrRetry(): Promise<void> {
    try {
      await this.#launch();
    } catch (error) {
      if (this.#stopping.signal.aborted) return;
      this.#failed(error);
      this.#restarting = this.#restart(0);
    }
  }

  /** It gets nothing new, and is not started again. */
  retire(): void {
    if (this.#state !== "stopped") this.#state = "draining";
    this.#stopping.abort();
  }

  /** Lets requests that it works on end, for `grace` ms at most, then removes all of it. */
  async stop(grace: number): Promise<void> {
    this.retire();
    await this.#restarting;
    await this.#launching.catch(() => {});
    await this.#process?.stop(grace);
    await this.#launcher.close();
    this.#state = "stopped";
  }

  status(): WorkerStatus {
    const { accountId, scriptName, versionId } = this.version;
    const isAlive = this.#state === "running" || this.#state === "draining";
    return {
      accountId,
      scriptName,
      versionId,
      pid: isAlive ? (this.#process?.pid ?? null) : null,
      state: this.#state,
      restarts: this.#restarts,
      lastExit: this.#lastExit,
    };
  }

  async #prepare(): Promise<this> {
    try {
      await this.#launcher.prepare();
      return this;
    } catch (error) {
      await this.stop(0);
      throw error;
    }
  }

  #launch(): Promise<void> {
    this.#launching = this.#launchNow();
    return this.#launching;
  }

  async #launchNow(): Promise<void> {
    const started = await this.#launcher.launch(this.#stopping.signal);
    this.#process = started;
    if (this.#stopping.signal.aborted) return;
    this.#state = "running";
    const since = performance.now();
    void started.ended.then((reason) => this.#ended(reason, performance.now() - since));
  }

  #ended(reason: string, ranFor: number): void {
    if (this.#stopping.signal.aborted) return;
    this.#failed(reason);
    this.#restarting = this.#restart(ranFor);
  }

  async #restart(ranFor: number): Promise<void> {
    const { signal } = this.#stopping;
    let lasted = ranFor;
    while (!signal.aborted) {
      try {
        await delay(this.#backoff.next(lasted), null, { signal });
        this.#restarts++;
        await this.#launch();
        return;
      } catch (error) {
        if (!signal.aborted) this.#failed(error);
      }
      lasted = 0;
    }
  }

  #failed(reason: unknown): void {
    this.#state = "restarting";
    this.#lastExit = reason instanceof Error ? reason.message : String(reason);
    const { accountId: account, scriptName: script, versionId: version } = this.version;
    const facts = { account, script, version, reason: this.#lastExit };
    this.#context.log.error(facts, "the Worker is not running, it is started again");
  }
}
