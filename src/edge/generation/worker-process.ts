import { Kept } from "../../process/kept.ts";
import type { WorkerStatus } from "../../contract/edge.ts";
import { GenerationFolder } from "./generation-folder.ts";
import { keepsObjects } from "../storage/objects.ts";
import type { GenerationContext } from "./generation-context.ts";
import { Launcher } from "./launcher.ts";
import type { RunnableVersion } from "../in-process.ts";
import type { HowEnded } from "../../ingress/protocol.ts";
import { isOverLimit, type LimitedRun } from "./worker-limits.ts";
import type { LaidOutVersion } from "../config/workerd-config.ts";

/** One process of a generation: its folder, its sockets, and a workerd that is started again when it ends. */
export class WorkerProcess {
  readonly version: LaidOutVersion;
  readonly #context: GenerationContext;
  readonly #folder: GenerationFolder;
  readonly #launcher: Launcher;
  #kept: Kept<LimitedRun>;
  /** Nothing of it runs until it is woken. */
  #isIdle = false;
  /** Whose sockets nobody finds. */
  #hidden: LimitedRun | null = null;
  readonly #trying = new AbortController();
  /** Null: it runs beside nothing yet, for it has objects that another process may have. */
  #begun: Promise<void> | null = null;

  private constructor(
    context: GenerationContext,
    folder: GenerationFolder,
    version: LaidOutVersion,
  ) {
    this.#context = context;
    this.#folder = folder;
    this.version = version;
    this.#launcher = new Launcher(context, folder, version);
    this.#kept = this.#keep();
  }

  #keep(): Kept<LimitedRun> {
    const { accountId: account, scriptName: script, versionId } = this.version;
    const facts = { account, script, version: versionId };
    return new Kept({
      launch: (signal) => this.#launcher.launch(signal),
      failed: (reason, code) => {
        this.#context.log.error(
          { ...facts, code, reason },
          "the Worker is not running, it is started again",
        );
        const ended = isOverLimit(reason) ? "worker_limits_exceeded" : "worker_connection_lost";
        this.#launcher.workerLog.ended(reason, code ?? ended);
      },
    });
  }

  /** Its files and its bindings are there, its process is not. */
  static async create(
    context: GenerationContext,
    version: RunnableVersion,
  ): Promise<WorkerProcess> {
    const { folder, stored } = await GenerationFolder.write(context, version);
    return new WorkerProcess(context, folder, stored).#prepare();
  }

  /** Another one for the same version. @param listener as of `GenerationContext` */
  async another(listener: number | null = this.#context.listener): Promise<WorkerProcess> {
    const context = { ...this.#context, listener };
    const folder = await this.#folder.copy(context.run, context.nextId(), this.version);
    return new WorkerProcess(context, folder, this.version).#prepare();
  }

  get socket(): string {
    return this.#launcher.socket;
  }

  get entrypoints(): ReadonlyMap<string, string> {
    return this.#launcher.entrypoints;
  }

  get events(): string | null {
    return this.#launcher.events;
  }

  /** Is there an entrypoint that others bind by now, but that this one did not know of? */
  get isIncomplete(): boolean {
    return this.#launcher.isIncomplete;
  }

  /**
   * Resolves once it has answered a probe; from then on it is kept running, unless it keeps objects:
   * then it has ended again, until `begin`.
   * @throws Failure `worker_start_failed`, `worker_start_timeout`; nothing of it is left then
   */
  async start(): Promise<void> {
    try {
      if (keepsObjects(this.version)) await this.#launcher.tryOut(this.#trying.signal);
      else await this.#kept.start();
    } catch (error) {
      await this.stop(0);
      throw error;
    }
  }

  /** Like `start`, but goes on trying: for what was deployed, whatever state it is in. */
  startOrRetry(): Promise<void> {
    return keepsObjects(this.version) ? this.begin() : this.#kept.startOrRetry();
  }

  /**
   * It gets the traffic. One that keeps objects was only tried out so far: it is started now, as
   * soon as no other process has them, and tried again if it fails.
   */
  begin(): Promise<void> {
    if (!keepsObjects(this.version)) return Promise.resolve();
    this.#begun ??= this.#kept.startOrRetry();
    return this.#begun;
  }

  /** It gets the traffic, or was asked to. */
  get hasBegun(): boolean {
    return this.#begun !== null;
  }

  /** It has answered a probe, and goes on. */
  get runs(): boolean {
    return this.#kept.current !== null && !this.#kept.isStopping;
  }

  /** As of `Launcher`. */
  async hide(): Promise<void> {
    this.#hidden = this.#kept.current;
    await this.#launcher.hide();
  }

  /** One that has ended since then gets no sockets back that nobody listens at. */
  async show(): Promise<void> {
    if (this.#hidden !== null && this.#hidden === this.#kept.current) await this.#launcher.show();
  }

  /** It is not started before it is woken. */
  lieDown(): void {
    this.#isIdle = true;
  }

  /** Ends its process, until it is woken. */
  async sleep(): Promise<void> {
    await this.#kept.stop(SLEEP);
    if (this.#trying.signal.aborted) return;
    this.#kept = this.#keep();
    this.#isIdle = true;
  }

  /** Resolves when it runs, or has failed to twice: the first failure may be of the machine's doing. */
  async wake(): Promise<void> {
    this.#isIdle = false;
    if (!this.#trying.signal.aborted) await this.#kept.startOrRetry(2);
  }

  /** Was it the end of its process that a connection to it has just broken off by? */
  async howEnded(): Promise<HowEnded> {
    if (!(await this.#kept.hasEnded(JUST, JUST))) return "runs";
    return isOverLimit(this.#kept.status().lastExit) ? "over-limit" : "ended";
  }

  /** It gets nothing new, and is not started again. */
  retire(): void {
    this.#kept.retire();
  }

  /** Lets requests that it works on end, for `grace` ms at most, then removes all of it. */
  async stop(grace: number): Promise<void> {
    this.#trying.abort();
    await this.#kept.stop(grace);
    await this.#launcher.close();
  }

  status(): WorkerStatus {
    const { accountId, scriptName, versionId } = this.version;
    const memory = this.#kept.current?.memory() ?? null;
    const status = this.#kept.status();
    const state = this.#isIdle ? "idle" : status.state;
    return { accountId, scriptName, versionId, memory, ...status, state };
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
}

/** ms: nothing goes on there any more. */
const SLEEP = 5_000;
/** ms between the end of a process and the time that others notice it */
const JUST = 500;
