import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Logger } from "pino";
import type { ProcessStatus } from "../../contract/edge.ts";
import { Kept, type Run } from "../../process/kept.ts";
import type { RunDirectory } from "../../process/run-directory.ts";
import type { Sandbox } from "../../process/walls/sandbox-kinds.ts";
import { capnpText, type CapnpValue } from "../config/capnp.ts";
import { V8_FLAGS } from "../config/v8-flags.ts";
import { publishSocket, unready } from "../generation/generation-folder.ts";
import { limited } from "../generation/worker-limits.ts";
import { startWorkerd, type WorkerdLine } from "../generation/workerd.ts";
import { ask } from "./ask.ts";
import { endWithClock } from "./clock-watch.ts";
import { layOut } from "./modules.ts";

/** What a storage process is made of. */
export interface StorageProcessOptions {
  readonly run: RunDirectory;
  readonly sandbox: Sandbox;
  /** Where its sockets are, relative to the run directory. */
  readonly relative: string;
  /** Where its data are: an absolute path. */
  readonly data: string;
  /** The names of the folders in `data`. */
  readonly folders: readonly string[];
  /** Modules of the package that the services embed. */
  readonly files: readonly string[];
  /** One socket, and one service, for each of these names. */
  readonly sockets: readonly string[];
  services(this: void): readonly CapnpValue[];
  /** Hex; the key with which capabilities are proved. */
  readonly key: string;
  /** Seconds that it may compute without answering. 0: no limit. */
  readonly cpu: number;
  readonly log: Logger;
  /**
   * Called when new processes listen at the sockets.
   * @param since ms since 1970: whoever had the data before wrote nothing after that
   */
  started(this: void, since: number): Promise<void>;
}

/** A workerd that keeps data, started again whenever it ends. */
export class StorageProcess {
  readonly #options: StorageProcessOptions;
  readonly #folder: string;
  readonly #kept: Kept<Run>;

  private constructor(options: StorageProcessOptions) {
    this.#options = options;
    this.#folder = options.run.absolute(options.relative);
    this.#kept = new Kept<Run>({
      launch: (signal) => this.#launch(signal),
      // All Workers of the account wait for this process, so pauses are short.
      longestPause: 1_000,
      failed: (reason) => options.log.error({ reason }, "storage ended, it is started again"),
    });
  }

  /** Resolves when the process listens. @throws Error if it does not start */
  static async start(options: StorageProcessOptions): Promise<StorageProcess> {
    const process = new StorageProcess(options);
    const { sandbox, data, folders, files } = options;
    await mkdir(process.#folder, { recursive: true, mode: 0o700 });
    for (const folder of folders) await mkdir(join(data, folder), { recursive: true, mode: 0o700 });
    await sandbox.prepare(process.#folder, [{ at: DATA, folder: data }]);
    await layOut(process.#folder, files);
    await process.#kept.start();
    return process;
  }

  /** Resolves when a process runs. */
  async ready(): Promise<void> {
    await this.#kept.ready();
  }

  status(): ProcessStatus {
    return this.#kept.status();
  }

  /** Ends the process and removes its sockets; its data stay. */
  async stop(grace: number): Promise<void> {
    await this.#kept.stop(grace);
    await rm(this.#folder, { recursive: true, force: true });
  }

  async #launch(signal: AbortSignal): Promise<Run> {
    const { run, sandbox, data, sockets, services, key, started } = this.#options;
    const since = Date.now();
    await rm(join(this.#folder, "o"), { recursive: true, force: true });
    await sandbox.prepare(this.#folder, [{ at: DATA, folder: data }]);
    await sandbox.give(this.#folder, [{ at: DATA, folder: data }]);
    const config = {
      services: services(),
      sockets: sockets.map((name) => ({
        name,
        address: `unix:${unready(name)}`,
        http: { capnpConnectHost: "rpc" },
        service: name,
      })),
      v8Flags: V8_FLAGS,
      logging: { structuredLogging: true },
    };
    const text = `using Workerd = import "/workerd/workerd.capnp";\nconst config :Workerd.Config = ${capnpText(config)};\n`;
    await writeFile(join(this.#folder, "config.capnp"), text, { mode: 0o640 });
    const process = await startWorkerd({
      sandbox,
      folder: this.#folder,
      mounts: [{ at: DATA, folder: data }],
      experimental: true,
      config: "config.capnp",
      input: null,
      environment: [["CAPABILITY_KEY", Buffer.from(key)]],
      sockets: sockets.length,
      timeout: 15_000,
      signal,
      processes: run.processes,
      log: (line) => this.#write(line),
    });
    try {
      for (const name of sockets) await publishSocket(this.#folder, name);
      await started(since);
    } catch (error) {
      await process.stop(0);
      throw error;
    }
    // One statement that does not end would have everything of the account wait for ever.
    const limits = { memory: 0, cpu: this.#options.cpu };
    return endWithClock(await limited(process, limits, () => this.#probe()));
  }

  /** Resolves when it answers: a call without a capability is refused, and reaches no data. */
  async #probe(): Promise<void> {
    const { body } = await ask({ folder: this.#folder, socket: this.#options.sockets[0]! });
    for await (const _ of body);
  }

  #write({ level, message }: WorkerdLine): void {
    if (level === "error") this.#options.log.error(message);
    else this.#options.log.debug(message);
  }
}

const DATA = "d";
