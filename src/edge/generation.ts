import { rm, writeFile } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import type { Logger } from "pino";
import type { Keyring } from "../certificates/seal.ts";
import { Failure } from "../failures.ts";
import type { GatewayHandle } from "../gateway/handle.ts";
import { Backoff } from "./backoff.ts";
import type { ProcessStatus, WorkerStatus } from "./edge.ts";
import { GenerationFolder } from "./generation-folder.ts";
import type { RunDirectory } from "./run-directory.ts";
import { DEFAULT, type LinkTarget } from "./service-links.ts";
import type { Slots } from "./slots.ts";
import type { ScriptKey, WorkerVersion } from "./source.ts";
import { startFailure } from "./start-failure.ts";
import {
  startWorkerd,
  WorkerdStartError,
  type WorkerdLine,
  type WorkerdProcess,
} from "./workerd.ts";
import { secretVariable, workerdConfig, type StoredVersion } from "./workerd-config.ts";

/** What generations share. */
export interface GenerationContext {
  readonly run: RunDirectory;
  /** From `workerdCommand`. */
  readonly command: readonly string[];
  readonly keyring: Keyring;
  readonly gateway: Pick<GatewayHandle, "openBinding" | "closeBinding">;
  /** Bounds how many start at a time. */
  readonly slots: Slots;
  readonly networkAllow: readonly string[];
  /** ms */
  readonly startTimeout: number;
  readonly log: Logger;
  /** Resolves when a request to the socket was answered. */
  probe(socket: string): Promise<void>;
  /** The path for a service binding. */
  servicePath(target: ScriptKey, entrypoint: string): Promise<string>;
  /** The named entrypoints of a script that others bind. */
  wantedEntrypoints(key: ScriptKey): readonly string[];
  nextId(): number;
}

/** One version that runs: its folder, its sockets, and a workerd that is started again when it ends. */
export class Generation implements LinkTarget {
  readonly version: StoredVersion;
  readonly entrypoints: Map<string, string> = new Map();
  readonly #context: GenerationContext;
  readonly #folder: GenerationFolder;
  readonly #log: Logger;
  /** Asked for by a binding, but not exported by the Worker. */
  readonly #missing = new Set<string>();
  readonly #servicePaths = new Map<string, string>();
  readonly #openBindings: string[] = [];
  readonly #backoff = new Backoff();
  readonly #stopping = new AbortController();
  #prepared = false;
  #process: WorkerdProcess | null = null;
  #restarting: Promise<void> = Promise.resolve();
  #state: ProcessStatus["state"] = "starting";
  #restarts = 0;
  #lastExit: string | null = null;

  private constructor(
    context: GenerationContext,
    folder: GenerationFolder,
    version: StoredVersion,
  ) {
    this.#context = context;
    this.#folder = folder;
    this.version = version;
    const { accountId, scriptName, versionId } = version;
    this.#log = context.log.child({ account: accountId, script: scriptName, version: versionId });
  }

  static async create(context: GenerationContext, version: WorkerVersion): Promise<Generation> {
    const { folder, stored } = await GenerationFolder.write(context.run, context.nextId(), version);
    return new Generation(context, folder, stored);
  }

  /** Another generation of the same version. */
  async successor(): Promise<Generation> {
    const context = this.#context;
    const folder = await this.#folder.copy(context.run, context.nextId(), this.version);
    return new Generation(context, folder, this.version);
  }

  get socket(): string {
    return `${this.#folder.relative}/main`;
  }

  /** Is there an entrypoint that others bind by now, but that this one did not know of? */
  get isIncomplete(): boolean {
    return this.#context
      .wantedEntrypoints(this.version)
      .some((name) => !this.entrypoints.has(name) && !this.#missing.has(name));
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
      this.#failed(error);
      this.#restarting = this.#restart(0);
    }
  }

  /** Lets it finish what it works on, for `grace` ms at most, then removes all of it. */
  async stop(grace: number): Promise<void> {
    this.#state = "draining";
    this.#stopping.abort();
    await this.#restarting;
    await this.#process?.stop(grace);
    await Promise.all(
      this.#openBindings.splice(0).map((path) => this.#context.gateway.closeBinding(path)),
    );
    await this.#folder.remove();
    this.#state = "stopped";
  }

  status(): WorkerStatus {
    const { accountId, scriptName, versionId } = this.version;
    return {
      accountId,
      scriptName,
      versionId,
      pid: this.#state === "running" || this.#state === "draining" ? this.#process!.pid : null,
      state: this.#state,
      restarts: this.#restarts,
      lastExit: this.#lastExit,
    };
  }

  async #launch(): Promise<void> {
    await this.#prepare();
    const started = await this.#context.slots.run(() => this.#launchOnce());
    this.#process = started;
    if (this.#stopping.signal.aborted) return;
    this.#state = "running";
    const since = performance.now();
    void started.ended.then((reason) => this.#ended(reason, performance.now() - since));
  }

  /** Once: a process that is started again has the sockets it had. */
  async #prepare(): Promise<void> {
    if (this.#prepared) return;
    await this.#connectBindings();
    for (const name of this.#context.wantedEntrypoints(this.version)) {
      this.entrypoints.set(name, `${this.#folder.relative}/e${this.entrypoints.size}`);
    }
    this.#prepared = true;
  }

  async #launchOnce(): Promise<WorkerdProcess> {
    try {
      return await this.#spawn();
    } catch (error) {
      // Which entrypoints a Worker exports is known only once its modules were evaluated.
      if (!this.#forgetMissing(error)) throw await this.#explain(error);
    }
    try {
      return await this.#spawn();
    } catch (error) {
      throw await this.#explain(error);
    }
  }

  async #spawn(): Promise<WorkerdProcess> {
    const { run, networkAllow } = this.#context;
    const { relative } = this.#folder;
    const probeSocket = `${relative}/probe`;
    // workerd does not remove its sockets, and does not start where one is left.
    for (const socket of [this.socket, probeSocket, ...this.entrypoints.values()]) {
      await rm(run.absolute(socket), { force: true });
    }
    const config = workerdConfig(this.version, {
      socket: this.socket,
      probeSocket,
      entrypoints: this.entrypoints,
      emptyFolder: "empty",
      bindingSocket: (name) => this.#bindingSocket(name),
      serviceSocket: ({ name }) => this.#servicePaths.get(name)!,
      networkAllow,
    });
    await writeFile(this.#folder.path("config.capnp"), config, { mode: 0o600 });
    const started = await startWorkerd({
      command: this.#context.command,
      workingDirectory: run.path,
      config: `${relative}/config.capnp`,
      environment: this.#secrets(),
      sockets: 2 + this.entrypoints.size,
      timeout: this.#context.startTimeout,
      processes: run.processes,
      log: (line) => this.#write(line),
    });
    try {
      await this.#context.probe(probeSocket);
    } catch (error) {
      await started.stop(0);
      throw new WorkerdStartError("timeout", `it did not answer its probe: ${String(error)}`, []);
    }
    return started;
  }

  async #connectBindings(): Promise<void> {
    const { accountId, scriptName, bindings } = this.version;
    for (const binding of bindings) {
      if (binding.type === "service") {
        const target = { accountId, scriptName: binding.service };
        const path = await this.#context.servicePath(target, binding.entrypoint ?? DEFAULT);
        this.#servicePaths.set(binding.name, path);
      } else if (binding.type === "mtls_certificate") {
        const socketPath = this.#bindingSocket(binding.name);
        if (this.#openBindings.includes(socketPath)) continue;
        const { name: bindingName, certificateId } = binding;
        await this.#context.gateway.openBinding({
          socketPath,
          accountId,
          scriptName,
          bindingName,
          certificateId,
        });
        this.#openBindings.push(socketPath);
      }
    }
  }

  #bindingSocket(bindingName: string): string {
    const index = this.version.bindings.findIndex(({ name }) => name === bindingName);
    return `${this.#folder.relative}/b${index}`;
  }

  #secrets(): Record<string, string> {
    const environment: Record<string, string> = {};
    const { accountId, scriptName, bindings } = this.version;
    for (const binding of bindings) {
      if (binding.type !== "secret_text") continue;
      const place = { account: accountId, id: binding.sealedId, kind: "secret" } as const;
      const secret = this.#context.keyring.unseal(place, binding.sealed);
      // Checked here, for Node's own error would quote the secret.
      if (secret.includes("\0")) {
        throw new Failure("worker_start_failed", {
          message: `the secret "${binding.name}" of the Worker "${scriptName}" contains a NUL character, which an environment cannot hold`,
        });
      }
      environment[secretVariable(this.version, binding.name)] = secret;
    }
    return environment;
  }

  #forgetMissing(error: unknown): boolean {
    if (!(error instanceof WorkerdStartError)) return false;
    const before = this.entrypoints.size;
    for (const name of this.entrypoints.keys()) {
      const start = `Socket "entrypoint ${name}" refers to`;
      if (!error.lines.some((line) => line.startsWith(start))) continue;
      this.entrypoints.delete(name);
      this.#missing.add(name);
      this.#log.warn(`a service binding names the entrypoint "${name}", which is not exported`);
    }
    return this.entrypoints.size < before;
  }

  #explain(error: unknown): Promise<unknown> {
    return startFailure(this.version, error, (name) =>
      this.#folder.readSourceMap(this.version, name),
    );
  }

  #ended(reason: string, ranFor: number): void {
    if (this.#stopping.signal.aborted) return;
    this.#failed(reason);
    this.#restarting = this.#restart(ranFor);
  }

  async #restart(ranFor: number): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      try {
        await delay(this.#backoff.next(ranFor), null, { signal });
        this.#restarts++;
        await this.#launch();
        return;
      } catch (error) {
        if (!signal.aborted) this.#failed(error);
      }
      ranFor = 0;
    }
  }

  #failed(reason: unknown): void {
    this.#state = "restarting";
    this.#lastExit = reason instanceof Error ? reason.message : String(reason);
    this.#log.error({ reason: this.#lastExit }, "the Worker is not running, it is started again");
  }

  #write({ level, message, fromRuntime }: WorkerdLine): void {
    const from = fromRuntime ? "runtime" : "console";
    // workerd's mark for what only its developers can act on.
    if (level === "debug" || message.startsWith("NOSENTRY")) this.#log.debug({ from }, message);
    else if (level === "error") this.#log.error({ from }, message);
    else if (level === "warn") this.#log.warn({ from }, message);
    else this.#log.info({ from }, message);
  }
}
