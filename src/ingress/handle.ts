import { extname } from "node:path";
import { fileURLToPath } from "node:url";
import type { Logger } from "pino";
import { Supervised, type Tell } from "../process/supervised.ts";
import type { ProcessStatus } from "../contract/edge.ts";
import type { RunDirectory } from "../process/run-directory.ts";
import {
  ingressRules,
  type IngressMethods,
  type ListenAddress,
  type ScriptUpdate,
} from "./protocol.ts";

export interface IngressOptions {
  readonly run: RunDirectory;
  readonly address: ListenAddress;
  readonly log: Logger;
  /** After each time that a fresh process listens. */
  readonly listening?: () => Promise<void>;
  /** The module that it runs. Default: the ingress's own. */
  readonly modulePath?: string | undefined;
}

/**
 * The supervisor's side of the ingress. It keeps the wanted state: an ingress that ends is started
 * again, told all of it, and only then listens, on the port that it had.
 */
export class IngressHandle {
  readonly #scripts = new Map<string, ScriptUpdate>();
  #address: ListenAddress;
  #process: Supervised<IngressMethods> | null = null;

  private constructor(address: ListenAddress) {
    this.#address = address;
  }

  static async start(options: IngressOptions): Promise<IngressHandle> {
    const { run, address, log, listening } = options;
    const handle = new IngressHandle(address);
    handle.#process = await Supervised.start<IngressMethods>({
      name: "ingress",
      modulePath:
        options.modulePath ??
        fileURLToPath(new URL(`./main${extname(import.meta.filename)}`, import.meta.url)),
      workingDirectory: run.path,
      processes: run.processes,
      log,
      rules: ingressRules,
      restore: async (tell) => {
        await handle.#restore(tell);
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
    return this.#process!.status();
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
    await this.#process!.stop(grace);
  }

  async #restore(tell: Tell<IngressMethods>): Promise<void> {
    await tell("scripts", [...this.#scripts.values()]);
    this.#address = await tell("listen", this.#address);
  }

  #call<M extends keyof IngressMethods>(
    method: M,
    ...args: Parameters<IngressMethods[M]>
  ): Promise<ReturnType<IngressMethods[M]>> {
    return this.#process!.call(method, args);
  }
}
