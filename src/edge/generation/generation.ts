import type { WorkerStatus } from "../../contract/edge.ts";
import type { HowEnded } from "../../ingress/protocol.ts";
import type { RunnableVersion } from "../in-process.ts";
import type { GenerationContext } from "./generation-context.ts";
import type { Sleeper } from "../idle.ts";
import type { LinkTarget } from "../config/service-links.ts";
import { keepsObjects } from "../storage/objects.ts";
import { WorkerProcess } from "./worker-process.ts";
import type { LaidOutVersion } from "../config/workerd-config.ts";

/** One version that runs, in as many processes as the edge gives a Worker. */
export class Generation implements LinkTarget, Sleeper {
  readonly version: LaidOutVersion;
  /** At least one. Other Workers reach the first. */
  readonly #processes: readonly [WorkerProcess, ...WorkerProcess[]];

  readonly #context: GenerationContext;
  /** As of `Sleeper`. */
  usedAt: number = performance.now();
  #isIdle = false;
  #isRetired = false;
  #waking: Promise<void> | null = null;

  private constructor(
    context: GenerationContext,
    processes: readonly [WorkerProcess, ...WorkerProcess[]],
  ) {
    this.version = processes[0].version;
    this.#context = context;
    this.#processes = processes;
    context.idle.add(this);
  }

  /** Its files and its bindings are there, its processes are not. */
  static async create(context: GenerationContext, version: RunnableVersion): Promise<Generation> {
    const first = await WorkerProcess.create(context, version);
    return Generation.#of(context, first, keepsObjects(version) ? 1 : context.processes);
  }

  /** One of the same version that answers at a listening socket as well. */
  async withListener(fd: number): Promise<Generation> {
    return Generation.#of(
      { ...this.#context, listener: fd },
      await this.#processes[0].another(fd),
      this.#processes.length,
    );
  }

  /** Another generation of the same version. */
  async successor(): Promise<Generation> {
    return Generation.#of(
      this.#context,
      await this.#processes[0].another(),
      this.#processes.length,
    );
  }

  static async #of(
    context: GenerationContext,
    first: WorkerProcess,
    count: number,
  ): Promise<Generation> {
    const others = Array.from({ length: count - 1 }, () => first.another());
    const results = await Promise.allSettled(others);
    const made = results.flatMap((result) => (result.status === "fulfilled" ? result.value : []));
    const failed = results.find((result) => result.status === "rejected");
    const generation = new Generation(context, [first, ...made]);
    if (failed === undefined) return generation;
    await generation.stop(0);
    throw failed.reason;
  }

  /** Where each of its processes is reached. */
  get sockets(): readonly string[] {
    return this.#processes.map(({ socket }) => socket);
  }

  get socket(): string {
    return this.#processes[0].socket;
  }

  get entrypoints(): ReadonlyMap<string, string> {
    return this.#processes[0].entrypoints;
  }

  get events(): string | null {
    return this.#processes[0].events;
  }

  /** Is there an entrypoint that others bind by now, but that this one did not know of? */
  get isIncomplete(): boolean {
    return this.#processes[0].isIncomplete;
  }

  /** Do its own processes present such a version of the certificate? */
  presents(certificateId: string, isMeant: (version: number) => boolean): boolean {
    return [...this.version.presented.values()].some(
      ({ credential }) => credential.certificateId === certificateId && isMeant(credential.version),
    );
  }

  presentsExpired(now: number): boolean {
    return [...this.version.presented.values()].some(
      ({ credential }) => now >= credential.notAfter,
    );
  }

  /**
   * Resolves once every process has answered a probe; from then on they are kept running.
   * @throws Failure `worker_start_failed`, `worker_start_timeout`; nothing of it is left then
   */
  async start(): Promise<void> {
    try {
      await Promise.all([this.#each((one) => one.start()), this.#context.idle.rouseCalled(this)]);
    } catch (error) {
      await this.stop(0);
      throw error;
    }
  }

  /** Like `start`, but goes on trying: for what was deployed, whatever state it is in. */
  async startOrRetry(): Promise<void> {
    if (this.#isIdle || this.#waking !== null) return;
    await Promise.all([
      this.#each((one) => one.startOrRetry()),
      this.#context.idle.rouseCalled(this),
    ]);
  }

  /**
   * What is called by more than requests and other Workers is not stopped: who listens at a port of
   * its own, is called by the platform, or keeps objects, which have alarms.
   */
  get mayRest(): boolean {
    const { idle, listener } = this.#context;
    if (!idle.isOn || listener !== null) return false;
    return !this.keepsObjects && this.version.takesEvents !== true;
  }

  get isIdle(): boolean {
    return this.#isIdle;
  }

  get isWaking(): boolean {
    return this.#waking !== null;
  }

  get runs(): boolean {
    return !this.#isIdle && this.#processes.every((one) => one.runs);
  }

  /** It is routed, but not started before it is needed. Without effect if it may not be idle. */
  lieDown(): void {
    if (!this.mayRest) return;
    this.#isIdle = true;
    for (const one of this.#processes) one.lieDown();
  }

  async hide(): Promise<void> {
    await this.#each((one) => one.hide());
  }

  async show(): Promise<void> {
    await this.#each((one) => one.show());
  }

  async sleep(): Promise<void> {
    await this.#each((one) => one.sleep());
    this.#isIdle = true;
  }

  /** Also while it drains: a request may have come just before. */
  wake(): Promise<void> {
    if (!this.#isIdle) return this.#waking ?? Promise.resolve();
    this.#isIdle = false;
    this.#waking = this.#each((one) => one.wake()).finally(() => {
      this.#waking = null;
      this.usedAt = performance.now();
      if (this.#isRetired) this.retire();
    });
    return this.#waking;
  }

  /** It gets the traffic: resolves when its processes run, or have failed to for the first time. */
  async begin(): Promise<void> {
    this.usedAt = performance.now();
    if (this.#isIdle) return this.#context.idle.begin(this);
    await this.#each((one) => one.begin());
  }

  get hasBegun(): boolean {
    return this.#processes.every((one) => one.hasBegun);
  }

  get keepsObjects(): boolean {
    return keepsObjects(this.version);
  }

  /** Null: it is none of its processes that listens there. */
  howEnded(socket: string): Promise<HowEnded> | null {
    return this.#processes.find((one) => one.socket === socket)?.howEnded() ?? null;
  }

  /** It gets nothing new, and is not started again. */
  retire(): void {
    this.#isRetired = true;
    if (this.#isIdle || this.#waking !== null) return;
    for (const one of this.#processes) one.retire();
  }

  /** Lets requests that it works on end, for `grace` ms at most, then removes all of it. */
  async stop(grace: number): Promise<void> {
    this.#context.idle.remove(this);
    await this.#each((one) => one.stop(grace));
  }

  /** One for each process. */
  status(): readonly WorkerStatus[] {
    return this.#processes.map((one) => one.status());
  }

  async #each(act: (one: WorkerProcess) => Promise<void>): Promise<void> {
    await Promise.all(this.#processes.map(act));
  }
}
