import { extname } from "node:path";
import { fileURLToPath } from "node:url";
import type { Logger } from "pino";
import { Child, type Call } from "../process/child.ts";
import type { ProcessStatus } from "../contract/edge.ts";
import type { RunDirectory } from "../process/run-directory.ts";
import type { IngressMethods, ListenAddress, ScriptUpdate } from "./protocol.ts";

export interface IngressOptions {
  readonly run: RunDirectory;
  readonly address: ListenAddress;
  readonly log: Logger;
  /** After each time that a fresh process listens. */
  readonly listening?: () => Promise<void>;
}

/**
 * The supervisor's side of the ingress. It keeps the wanted state: an ingress that ends is started
 * again, told all of it, and only then listens, on the port that it had.
 */
export class IngressHandle {
  readonly #scripts = new Map<string, ScriptUpdate>();
  #address: ListenAddress;
  #child: Child | null = null;

  private constructor(address: ListenAddress) {
    this.#address = address;
  }

  static async start(options: IngressOptions): Promise<IngressHandle> {
    const { run, address, log, listening } = options;
    const handle = new IngressHandle(address);
    handle.#child = await Child.start({
      name: "ingress",
      modulePath: fileURLToPath(new URL(`./main${extname(import.meta.filename)}`, import.meta.url)),
      workingDirectory: run.path,
      processes: run.processes,
      log,
      restore: async (call) => {
        await handle.#restore(call);
        await listening?.();
      },
    });
    return handle;
  }

  /** Where it listens. */
  get address(): ListenAddress {
    return this.#address;
  }

  status(): ProcessStatus {
    return this.#child!.status();
  }

  /** In force on return, all at once. */
  async scripts(updates: readonly ScriptUpdate[]): Promise<void> {
    for (const update of updates) {
      const id = JSON.stringify([update.accountId, update.scriptName]);
      if (update.entry === null) this.#scripts.delete(id);
      else this.#scripts.set(id, update);
    }
    await this.#call("scripts", updates);
  }

  async probe(socket: string): Promise<void> {
    await this.#call("probe", socket);
  }

  async retire(socket: string): Promise<void> {
    await this.#call("retire", socket);
  }

  /** Finishes what is in flight, for `grace` ms at most, and ends. */
  async stop(grace: number): Promise<void> {
    await this.#child!.stop(grace);
  }

  async #restore(call: Call): Promise<void> {
    await call("scripts" satisfies keyof IngressMethods, [...this.#scripts.values()]);
    const method = "listen" satisfies keyof IngressMethods;
    this.#address = (await call(method, this.#address)) as ListenAddress;
  }

  #call<M extends keyof IngressMethods>(
    method: M,
    parameters: Parameters<IngressMethods[M]>[0],
  ): Promise<unknown> {
    return this.#child!.call(method, parameters);
  }
}
