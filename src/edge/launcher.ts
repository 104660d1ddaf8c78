import { rename, rm, writeFile } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import type { Logger } from "pino";
import type { Keyring } from "../keys/seal.ts";
import { Failure } from "../failures/failures.ts";
import { openKey } from "../certificates/credential.ts";
import type { GatewayHandle } from "../contract/gateway.ts";
import { IDENTITY, identityId } from "../contract/identity.ts";
import type { Identities } from "./identities.ts";
import type { GenerationFolder } from "./generation-folder.ts";
import type { RunDirectory } from "../process/run-directory.ts";
import { DEFAULT } from "./service-links.ts";
import type { SharedSlots } from "./shared-slots.ts";
import type { ScriptKey } from "../contract/change-feed.ts";
import type { NetworkPolicy } from "./in-process-network.ts";
import { KeysInConfig } from "./keys-in-config.ts";
import { startFailure } from "./start-failure.ts";
import {
  startWorkerd,
  WorkerdStartError,
  type WorkerdLine,
  type WorkerdProcess,
} from "./workerd.ts";
import { secretVariable, workerdConfig, type LaidOutVersion } from "./workerd-config.ts";

/** What the generations of an edge share. */
export interface GenerationContext {
  readonly run: RunDirectory;
  /** From `workerdCommand`. */
  readonly command: readonly string[];
  readonly keyring: Keyring;
  readonly gateway: Pick<GatewayHandle, "openBinding" | "closeBinding">;
  /** Null: no Worker has an identity here. */
  readonly identities: Identities | null;
  /** How many each generation has, at least one. */
  readonly processes: number;
  /** Bounds how many start at a time, shared by account. */
  readonly starts: SharedSlots;
  /** The same for those that ran and have ended: they do not wait behind deploys. */
  readonly restarts: SharedSlots;
  readonly networkAllow: readonly string[];
  /** Addresses that bindings in a Worker's own process may reach. */
  readonly inProcess: NetworkPolicy;
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

/** Starts the process of one generation: once, and again each time it has ended. */
export class Launcher {
  /** The socket of each named entrypoint that others bind. */
  readonly entrypoints: Map<string, string> = new Map();
  readonly #context: GenerationContext;
  readonly #folder: GenerationFolder;
  readonly #version: LaidOutVersion;
  readonly #log: Logger;
  /** Asked for by a binding, but not exported by the Worker. */
  readonly #missing = new Set<string>();
  readonly #servicePaths = new Map<string, string>();
  readonly #openBindings: string[] = [];
  #hasRun = false;

  constructor(context: GenerationContext, folder: GenerationFolder, version: LaidOutVersion) {
    this.#context = context;
    this.#folder = folder;
    this.#version = version;
    const { accountId, scriptName, versionId } = version;
    this.#log = context.log.child({ account: accountId, script: scriptName, version: versionId });
  }

  /** Where the Worker's default export is reached. */
  get socket(): string {
    return `${this.#folder.relative}/main`;
  }

  /** Is there an entrypoint that others bind by now, but did not when this was prepared? */
  get isIncomplete(): boolean {
    return this.#context
      .wantedEntrypoints(this.#version)
      .some((name) => !this.entrypoints.has(name) && !this.#missing.has(name));
  }

  /** Has the other ends of its bindings listen. */
  async prepare(): Promise<void> {
    const { accountId, scriptName, bindings, presented } = this.#version;
    for (const binding of bindings) {
      if (binding.type === "service") {
        const target = { accountId, scriptName: binding.service };
        const path = await this.#context.servicePath(target, binding.entrypoint ?? DEFAULT);
        this.#servicePaths.set(binding.name, path);
      } else if (binding.type === "mtls_certificate" && !presented.has(binding.name)) {
        const socketPath = this.#bindingSocket(binding.name);
        const { name: bindingName } = binding;
        const certificateId = await this.#certificateId(binding.certificateId);
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
    for (const name of this.#context.wantedEntrypoints(this.#version)) {
      this.entrypoints.set(name, `${this.#folder.relative}/e${this.entrypoints.size}`);
    }
  }

  /**
   * Resolves once the process has answered a probe and its sockets are at their places.
   * @throws Failure `worker_start_failed`, `worker_start_timeout`
   */
  launch(signal: AbortSignal): Promise<WorkerdProcess> {
    const { starts, restarts } = this.#context;
    const slots = this.#hasRun ? restarts : starts;
    return slots.run(this.#version.accountId, async () => {
      const started = await this.#spawnKnown(signal);
      this.#hasRun = true;
      return started;
    });
  }

  async #spawnKnown(signal: AbortSignal): Promise<WorkerdProcess> {
    try {
      return await this.#spawn(signal);
    } catch (error) {
      // Which entrypoints a Worker exports is known only once its modules were evaluated.
      if (!this.#forgetMissing(error)) throw await this.#explain(error);
    }
    try {
      return await this.#spawn(signal);
    } catch (error) {
      throw await this.#explain(error);
    }
  }

  /** The process has ended: removes what is left of it. */
  async close(): Promise<void> {
    const { gateway } = this.#context;
    await Promise.all(this.#openBindings.splice(0).map((path) => gateway.closeBinding(path)));
    await this.#folder.remove();
  }

  async #spawn(signal: AbortSignal): Promise<WorkerdProcess> {
    signal.throwIfAborted();
    const { run, command, startTimeout } = this.#context;
    const sockets = [this.socket, `${this.#folder.relative}/probe`, ...this.entrypoints.values()];
    // workerd does not start where a socket is left from a process before.
    for (const socket of sockets) await rm(run.absolute(unready(socket)), { force: true });
    const config = `${this.#folder.relative}/config.capnp`;
    const keys = this.#keys();
    await writeFile(run.absolute(config), this.#config(keys), { mode: 0o600 });
    const started = await startWorkerd({
      command,
      workingDirectory: run.path,
      config,
      input: await keys.encode(command, run.path, config),
      environment: this.#secrets(),
      sockets: sockets.length,
      timeout: startTimeout,
      signal,
      processes: run.processes,
      log: (line) => this.#write(line),
    });
    try {
      await this.#probe(signal);
      for (const socket of sockets) {
        await rename(run.absolute(unready(socket)), run.absolute(socket));
      }
    } catch (error) {
      await started.stop(0);
      throw new WorkerdStartError("timeout", `it did not answer its probe: ${String(error)}`, []);
    }
    return started;
  }

  #config(keys: KeysInConfig): string {
    const { networkAllow, inProcess } = this.#context;
    return workerdConfig(this.#version, {
      socket: unready(this.socket),
      probeSocket: unready(`${this.#folder.relative}/probe`),
      entrypoints: new Map([...this.entrypoints].map(([name, path]) => [name, unready(path)])),
      emptyFolder: "empty",
      bindingSocket: (name) => this.#bindingSocket(name),
      serviceSocket: ({ name }) => this.#servicePaths.get(name)!,
      networkAllow,
      inProcess,
      privateKey: (name) => keys.placeholder(name),
    });
  }

  async #probe(signal: AbortSignal): Promise<void> {
    const { startTimeout } = this.#context;
    const tooLate = delay(startTimeout, null, { signal, ref: false }).then(() => {
      throw new Error(`no answer after ${startTimeout} ms`);
    });
    const socket = unready(`${this.#folder.relative}/probe`);
    await Promise.race([this.#context.probe(socket), tooLate]);
  }

  /** A Worker that binds its identity has one before it runs. */
  async #certificateId(bound: string): Promise<string> {
    if (bound !== IDENTITY) return bound;
    await this.#context.identities?.ensure(this.#version);
    return identityId(this.#version.scriptName);
  }

  #bindingSocket(bindingName: string): string {
    const index = this.#version.bindings.findIndex(({ name }) => name === bindingName);
    return `${this.#folder.relative}/b${index}`;
  }

  #keys(): KeysInConfig {
    const keys = new KeysInConfig();
    for (const [name, { credential }] of this.#version.presented) {
      keys.add(name, openKey(credential, this.#context.keyring));
    }
    return keys;
  }

  #secrets(): Record<string, string> {
    const environment: Record<string, string> = {};
    const { accountId, scriptName, bindings } = this.#version;
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
      environment[secretVariable(this.#version, binding.name)] = secret;
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
    return startFailure(this.#version, error, (name) =>
      this.#folder.readSourceMap(this.#version, name),
    );
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

/**
 * Where a socket is until its process has answered a probe. workerd binds its sockets before it
 * evaluates the modules: who connected then could lose a request to a Worker that does not start.
 */
function unready(socket: string): string {
  return `${socket}.new`;
}
