import { existsSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { basename } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { Logger } from "pino";
import { Failure } from "../../failures/failures.ts";
import { openKey } from "../../certificates/credential.ts";
import {
  ASSETS,
  EMPTY,
  type GenerationFolder,
  MAIN,
  PROBE,
  unready,
  WRITABLE,
} from "./generation-folder.ts";
import type { Mount } from "../../process/walls/sandbox-kinds.ts";
import { readDoor, refuseEntrypoints } from "../config/service-links.ts";
import type { ObjectClass } from "../../contract/change-feed.ts";
import { KeysInConfig } from "../config/keys-in-config.ts";
import { EVENTS } from "../config/events-config.ts";
import { refusedAddress } from "./refused-address.ts";
import { type LimitedRun, limited, limitsFor } from "./worker-limits.ts";
import { refuseExperimental } from "../storage/experimental-flags.ts";
import { embeddedBy } from "../storage/bindings-config.ts";
import { keepsObjects, missingClass } from "../storage/objects.ts";
import { InterruptedInstances } from "../storage/interrupted-instances.ts";
import { CALLS } from "../storage/workflow-door.ts";
import { hasWorkflows } from "../storage/workflows.ts";
import { leadsNowhere } from "../storage/remote-objects.ts";
import { layOut } from "../storage/modules.ts";
import { openSecrets } from "./open-secrets.ts";
import { startFailure } from "./start-failure.ts";
import { TraceLines } from "../logs/traces.ts";
import { loggedAs, OutputShare } from "../logs/output-share.ts";
import { WorkerLog } from "../logs/worker-log.ts";
import {
  type WorkerdLine,
  type WorkerdProcess,
  WorkerdStartError,
  startWorkerd,
} from "./workerd.ts";
import {
  type LaidOutVersion,
  entrypointSocket,
  needsExperimental,
  workerdConfig,
} from "../config/workerd-config.ts";
import type { GenerationContext } from "./generation-context.ts";
import { GenerationBindings } from "./generation-bindings.ts";

/** Starts the process of one generation: once, and again each time it has ended. */
export class Launcher {
  /** The socket of each door (`doorOf`) that others bind. */
  readonly entrypoints: Map<string, string> = new Map();
  readonly #context: GenerationContext;
  readonly #folder: GenerationFolder;
  readonly #version: LaidOutVersion;
  readonly #log: Logger;
  /** Asked for by a binding, but not exported by the Worker. */
  readonly #missing = new Set<string>();
  readonly #bindings: GenerationBindings;
  /** Said while it was tried out. */
  #missingClass: ObjectClass | null = null;
  readonly #traces: TraceLines | null;
  readonly workerLog: WorkerLog;
  readonly #output: OutputShare = new OutputShare();
  #hasRun = false;
  readonly #interrupted: InterruptedInstances;

  constructor(context: GenerationContext, folder: GenerationFolder, version: LaidOutVersion) {
    this.#context = context;
    this.#folder = folder;
    this.#version = version;
    this.#bindings = new GenerationBindings(context, folder, version);
    const { accountId, scriptName, versionId } = version;
    this.#log = context.log.child({ account: accountId, script: scriptName, version: versionId });
    const of = { version, folder: folder.absolute, objects: context.storage.objects };
    this.#interrupted = new InterruptedInstances({ ...of, log: this.#log });
    const { traced = null, observability } = version;
    this.#traces = traced === null ? null : new TraceLines();
    this.workerLog = new WorkerLog({
      version,
      isTraced: traced !== null,
      keptShare: traced === 1 ? (observability?.samplingRate ?? 0) : 1,
      tell: context.tell,
      timings: context.timings,
      mapping: context.mapping,
      readSourceMap: (name) => folder.readSourceMap(version, name),
    });
  }

  /** Where the Worker's default export is reached. */
  get socket(): string {
    return this.#folder.inRun(MAIN);
  }

  /** Where the platform calls it. Null: it does not. */
  get events(): string | null {
    return this.#version.takesEvents === true ? this.#folder.inRun(EVENTS) : null;
  }

  /** Is there an entrypoint that others bind by now, but did not when this was prepared? */
  get isIncomplete(): boolean {
    return this.#context
      .wantedEntrypoints(this.#version)
      .some((name) => !this.entrypoints.has(name) && !this.#missing.has(name));
  }

  /** Has the other ends of its bindings listen. */
  async prepare(): Promise<void> {
    if (needsExperimental(this.#version)) refuseExperimental(this.#version);
    await this.#context.sandbox.prepare(this.#folder.absolute, this.#mounts(false));
    await this.#bindings.open();
    for (const name of this.#context.wantedEntrypoints(this.#version)) {
      if (leadsNowhere(name, this.#version)) this.#missing.add(name);
      else this.entrypoints.set(name, this.#folder.inRun(`e${this.entrypoints.size}`));
    }
  }

  /**
   * Resolves once the process has answered a probe and its sockets are at their places.
   * @throws Failure `worker_start_failed`, `worker_start_timeout`, `entrypoint_not_a_class`
   */
  async launch(signal: AbortSignal): Promise<LimitedRun> {
    const { starts, restarts, storage } = this.#context;
    // Before anything else of the start: the process that has the objects may take a while to end.
    const release = await storage.objects.claim(this.#version, signal);
    const slots = this.#hasRun ? restarts : starts;
    try {
      const started = await slots.run(this.#version.accountId, () =>
        this.#spawnKnown(() => this.#spawn(signal)),
      );
      this.#hasRun = true;
      void started.ended.then(release);
      return started;
    } catch (error) {
      release();
      throw error;
    }
  }

  /**
   * Starts it with no objects, beside the process that has them, and ends it.
   * @throws Failure as `launch`, and `object_class_not_exported`
   */
  async tryOut(signal: AbortSignal): Promise<void> {
    await this.#context.starts.run(this.#version.accountId, () =>
      this.#spawnKnown(async () => {
        this.#missingClass = null;
        await (await this.#start(signal, false)).stop(0);
      }),
    );
    if (this.#missingClass === null) return;
    const { className } = this.#missingClass;
    throw new Failure("object_class_not_exported", {
      message: `the Worker "${this.#version.scriptName}" does not export the class "${className}", which keeps Durable Objects`,
      facts: { class: className },
    });
  }

  async #spawnKnown<T>(spawn: () => Promise<T>): Promise<T> {
    try {
      return await spawn();
    } catch (error) {
      // Which entrypoints a Worker exports is known only once its modules were evaluated.
      if (!this.#forgetMissing(error)) throw await this.#explain(error);
    }
    try {
      return await spawn();
    } catch (error) {
      throw await this.#explain(error);
    }
  }

  /** Nobody finds its sockets any more, until `show`. */
  async hide(): Promise<void> {
    await Promise.all([MAIN, ...this.#named()].map((socket) => this.#folder.hide(socket)));
  }

  async show(): Promise<void> {
    await Promise.all([MAIN, ...this.#named()].map((socket) => this.#folder.show(socket)));
  }

  /** The process has ended: removes what is left of it. */
  async close(): Promise<void> {
    await this.#bindings.close();
    await this.#folder.remove();
  }

  /** The process has answered its probe, and listens where nobody else finds it. */
  async #start(signal: AbortSignal, isKept: boolean): Promise<WorkerdProcess> {
    signal.throwIfAborted();
    refuseEntrypoints(this.#version);
    const { run, sandbox, startTimeout, listener, keyring } = this.#context;
    // workerd does not start where a socket is left from a process before.
    await this.#folder.clear();
    const mounts = this.#mounts(isKept);
    await sandbox.prepare(this.#folder.absolute, mounts);
    if (isKept) await sandbox.give(this.#folder.absolute, mounts);
    const keys = this.#keys();
    await layOut(this.#folder.absolute, embeddedBy(this.#version));
    await writeFile(this.#folder.path(CONFIG), this.#config(keys, isKept), { mode: 0o640 });
    const started = await startWorkerd({
      sandbox,
      folder: this.#folder.absolute,
      mounts: isKept ? mounts : [],
      experimental: needsExperimental(this.#version),
      config: CONFIG,
      input: await keys.encode(sandbox, this.#folder.absolute, CONFIG),
      environment: openSecrets(this.#version, keyring),
      ...(listener !== null && { listener }),
      sockets: 2 + this.#named().length + (listener === null ? 0 : 1),
      timeout: startTimeout,
      signal,
      processes: run.processes,
      log: (line) => this.#write(line),
    });
    try {
      await this.#folder.publish(PROBE);
      await this.#probe(signal);
      return started;
    } catch (error) {
      await started.stop(0);
      throw new WorkerdStartError("timeout", `it did not answer its probe: ${String(error)}`, []);
    }
  }

  async #spawn(signal: AbortSignal): Promise<LimitedRun> {
    const started = await this.#start(signal, true);
    try {
      for (const socket of [MAIN, ...this.#named()]) await this.#folder.publish(socket);
    } catch (error) {
      await started.stop(0);
      throw new WorkerdStartError("exited", `it does not listen: ${String(error)}`, []);
    }
    this.workerLog.started(started.pid);
    await this.#context.renewLinks([
      this.socket,
      ...this.entrypoints.values(),
      ...(this.events === null ? [] : [this.events]),
    ]);
    void this.#interrupted.wake();
    const { limits, memoryGroups } = this.#context;
    const probe = (): Promise<void> => this.#context.probe(this.#folder.inRun(PROBE));
    return limited(started, limitsFor(this.#version, limits), probe, memoryGroups);
  }

  /** Its sockets beside its own and the probe's. */
  #named(): readonly string[] {
    const doors = [...this.entrypoints.values()].map((path) => basename(path));
    return [
      ...doors,
      ...(this.#version.takesEvents ? [EVENTS] : []),
      ...(hasWorkflows(this.#version) ? [CALLS] : []),
    ];
  }

  /** @param isKept false: it is not begun, and no folder is made for what may never be */
  #mounts(isKept: boolean): readonly Mount[] {
    const { objects } = this.#context.storage;
    const all = keepsObjects(this.#version) ? objects.mounts(this.#version) : [];
    return isKept ? all : all.filter(({ folder }) => existsSync(folder));
  }

  #config(keys: KeysInConfig, isKept: boolean): string {
    return workerdConfig(this.#version, {
      socket: unready(MAIN),
      hasOwnPort: this.#context.listener !== null,
      probeSocket: unready(PROBE),
      eventsSocket: this.#version.takesEvents ? unready(EVENTS) : null,
      ...(hasWorkflows(this.#version) && {
        workflows: { socket: unready(CALLS), scratch: WRITABLE },
      }),
      entrypoints: new Map(
        [...this.entrypoints].map(([name, path]) => [name, unready(basename(path))]),
      ),
      emptyFolder: EMPTY,
      assetsFolder: ASSETS,
      bindingSocket: (name) => basename(this.#bindings.placeOf(name, "b")),
      linkedSocket: (name) => basename(this.#bindings.placeOf(name, "x")),
      capability: ({ kind, id }) => this.#context.storage.capabilities.of(kind, id),
      ...this.#context.networks(),
      keepsObjects: isKept,
      heap: this.#context.limits.memory,
      tail: this.#traces?.module(this.#version.traced ?? 0) ?? null,
      privateKey: (name) => keys.placeholder(name),
    });
  }

  async #probe(signal: AbortSignal): Promise<void> {
    const { startTimeout } = this.#context;
    const tooLate = delay(startTimeout, null, { signal, ref: false }).then(() => {
      throw new Error(`no answer after ${startTimeout} ms`);
    });
    await Promise.race([this.#context.probe(this.#folder.inRun(PROBE)), tooLate]);
  }

  #keys(): KeysInConfig {
    const keys = new KeysInConfig();
    for (const [name, { credential }] of this.#version.presented) {
      keys.add(name, openKey(credential, this.#context.keyring));
    }
    return keys;
  }

  #forgetMissing(error: unknown): boolean {
    if (!(error instanceof WorkerdStartError)) return false;
    const before = this.entrypoints.size;
    for (const [door, path] of this.entrypoints) {
      const start = `Socket "${entrypointSocket(unready(basename(path)))}" refers to`;
      if (!error.lines.some((line) => line.startsWith(start))) continue;
      this.entrypoints.delete(door);
      this.#missing.add(door);
      const { entrypoint } = readDoor(door);
      this.#log.warn(
        `a service binding names the entrypoint "${entrypoint ?? "default"}", which is not exported`,
      );
    }
    return this.entrypoints.size < before;
  }

  #explain(error: unknown): Promise<unknown> {
    return startFailure(this.#version, error, (name) =>
      this.#folder.readSourceMap(this.#version, name),
    );
  }

  #write({ level, message, fromRuntime }: WorkerdLine): void {
    const trace = fromRuntime ? null : (this.#traces?.read(message) ?? null);
    if (trace !== null) {
      this.workerLog.call(trace);
      return;
    }
    if (fromRuntime) this.#missingClass ??= missingClass(message, this.#version);
    if (!fromRuntime || (level === "error" && !message.startsWith("NOSENTRY"))) {
      this.workerLog.line(level, message);
    }
    const from = fromRuntime ? "runtime" : "console";
    const written = this.#output.take(message);
    if (written === null) return;
    const leftOut = this.#output.leftOut();
    if (leftOut > 0) this.#log.warn({ leftOut }, "lines of the Worker's output were left out here");
    const refused = fromRuntime ? refusedAddress(message) : null;
    if (refused !== null) this.#log.warn({ from, ...refused }, refused.message);
    else this.#log[loggedAs(level, message)]({ from }, written);
  }
}

const CONFIG = "config.capnp";
