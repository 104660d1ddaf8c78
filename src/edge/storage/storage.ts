import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { Logger } from "pino";
import type { ProcessStatus } from "../../contract/edge.ts";
import type { StorageAnswer, StorageKind, StorageRequest } from "../../contract/storage.ts";
import { Failure } from "../../failures/failures.ts";
import type { RunDirectory } from "../../process/run-directory.ts";
import type { Sandbox } from "../../process/walls/sandbox-kinds.ts";
import { Queues, type QueuesOptions } from "./queues.ts";
import type { LinkTarget, ServiceLinks } from "../config/service-links.ts";
import { Capabilities, CAPABILITY_HEADER } from "./capabilities.ts";
import { dataProcess } from "./data-config.ts";
import { ask } from "./ask.ts";
import { Objects } from "./objects.ts";
import { refuseWithoutRoom } from "./room.ts";
import { StorageProcess } from "./storage-process.ts";
import { removeUnfinished } from "./unfinished-files.ts";
import { removeUnnamed } from "./unnamed-files.ts";

export interface StorageOptions {
  readonly run: RunDirectory;
  /** Absolute; has one folder for each account. Null: this edge keeps no data. */
  readonly folder: string | null;
  readonly sandbox: Sandbox;
  readonly links: ServiceLinks;
  /** Seconds that an account's process may compute without answering. 0: no limit. */
  readonly cpu: number;
  readonly log: Logger;
  /** The Worker that consumes a queue. Null: it is not deployed. */
  readonly target: QueuesOptions["target"];
}

/** The data that Workers keep on this machine. An account's processes start when something first needs them. */
export class Storage {
  readonly capabilities: Capabilities = new Capabilities();
  readonly objects: Objects = new Objects((accountId) => this.folderOf(accountId));
  readonly queues: Queues;
  readonly #options: StorageOptions;
  readonly #accounts = new Map<string, Promise<StorageProcess>>();
  #count = 0;
  readonly #places = new Map<string, string>();
  readonly #tidying = new Map<string, AbortController>();

  constructor(options: StorageOptions) {
    this.#options = options;
    this.queues = new Queues({
      ...options,
      capabilities: this.capabilities,
      folderOf: (accountId) => this.folderOf(accountId),
    });
  }

  /** Makes `path` lead to the account's resources of one kind. */
  async bind(path: string, accountId: string, kind: StorageKind): Promise<void> {
    if (kind === "queue") return await this.queues.bind(path, accountId);
    await this.#data(accountId);
    await this.#options.links.add(path, keyOf(accountId), kind, this.#target(accountId));
  }

  /** @throws Failure `storage_unavailable`, `disk_full` */
  async request(request: StorageRequest): Promise<StorageAnswer> {
    const { accountId, kind, id, destroys = false } = request;
    const isQueue = kind === "queue";
    const running = async (): Promise<void> => {
      const process = await (isQueue ? this.queues.running(accountId) : this.#data(accountId));
      await process.ready().catch((cause: unknown) => {
        throw new Failure("storage_unavailable", { cause });
      });
    };
    await running();
    const capability = destroys
      ? this.capabilities.toDelete(kind, id)
      : this.capabilities.of(kind, id);
    const headers = { ...request.headers, [CAPABILITY_HEADER]: capability };
    const place = isQueue ? this.queues.placeOf(accountId) : this.#place(accountId);
    const folder = this.#options.run.absolute(place);
    const asked = { folder, socket: kind, ...request, headers };
    for (let tries = 1; ; tries += 1) {
      try {
        const answer = await ask(asked);
        await refuseWithoutRoom(this.folderOf(accountId), request, answer);
        return answer;
      } catch (cause) {
        // The value to be stored did not arrive, which is not the storage's fault.
        if (cause instanceof Failure) throw cause;
        const { code = "" } = cause as NodeJS.ErrnoException;
        if (tries === MOST_TRIES || !mayBeRepeated(request, code)) {
          await refuseWithoutRoom(this.folderOf(accountId), request);
          throw new Failure("storage_unavailable", { cause });
        }
        // Each change of an account's queues starts their process again.
        await running();
      }
    }
  }

  /** Where the data of an account are. */
  folderOf(accountId: string): string {
    const { folder } = this.#options;
    if (folder === null) throw new Failure("storage_unavailable");
    return join(folder, accountId);
  }

  async status(): Promise<readonly ProcessStatus[]> {
    const processes = await Promise.allSettled(this.#accounts.values());
    return processes.flatMap((one) => (one.status === "fulfilled" ? one.value.status() : []));
  }

  async stop(grace: number): Promise<void> {
    for (const tidying of this.#tidying.values()) tidying.abort();
    await this.queues.stop(grace);
    const processes = await Promise.allSettled(this.#accounts.values());
    await Promise.all(
      processes.map((one) =>
        one.status === "fulfilled" ? one.value.stop(grace) : Promise.resolve(),
      ),
    );
  }

  #data(accountId: string): Promise<StorageProcess> {
    let process = this.#accounts.get(accountId);
    if (process === undefined) {
      process = this.#start(accountId);
      this.#accounts.set(accountId, process);
      process.catch(() => this.#accounts.delete(accountId));
    }
    return process;
  }

  async #start(accountId: string): Promise<StorageProcess> {
    const { run, sandbox, links, log, cpu } = this.#options;
    const data = join(this.folderOf(accountId), "data");
    await mkdir(data, { recursive: true, mode: 0o700 });
    try {
      return await StorageProcess.start({
        ...dataProcess,
        run,
        sandbox,
        relative: this.#place(accountId),
        data,
        key: this.capabilities.key,
        cpu,
        log: log.child({ account: accountId, from: "storage" }),
        started: async (since) => {
          void this.#tidy(accountId, data, since);
          for (const socket of this.#target(accountId).entrypoints.values()) {
            await links.renew(socket);
          }
        },
      });
    } catch (cause) {
      throw new Failure("storage_unavailable", {
        message: `the storage of the account does not start: ${(cause as Error).message}`,
        cause,
      });
    }
  }

  /** Removes what the process before has left of uploads that it did not end. Never rejects. */
  async #tidy(accountId: string, data: string, before: number): Promise<void> {
    const log = this.#options.log.child({ account: accountId });
    this.#tidying.get(accountId)?.abort();
    const tidying = new AbortController();
    this.#tidying.set(accountId, tidying);
    const { signal } = tidying;
    try {
      await removeUnfinished(data, before);
      const removed = await removeUnnamed({ data, before, signal });
      if (removed > 0) log.info({ removed }, "files of uploads to R2 that were killed are removed");
    } catch (err) {
      if (!signal.aborted) log.warn({ err }, "unfinished uploads stay on the disk");
    }
  }

  /** Relative to the run directory. */
  #place(accountId: string): string {
    const place = this.#places.get(accountId) ?? `s/${++this.#count}`;
    this.#places.set(accountId, place);
    return place;
  }

  #target(accountId: string): LinkTarget {
    const place = this.#place(accountId);
    return {
      socket: place,
      entrypoints: new Map(dataProcess.sockets.map((name) => [name, `${place}/${name}`])),
    };
  }
}

const MOST_TRIES = 5;
/** Nobody has read the whole request: no connection was made, or it ended while the request was written. */
const NOT_SENT: ReadonlySet<string> = new Set(["ECONNREFUSED", "ENOENT", "EPIPE"]);
/** The connection ended before the answer. */
const LOST = "ECONNRESET";

/**
 * Whether sending the request once more leaves the same state as sending it once. What is destroyed is in nobody's use
 * until the call is answered.
 */
function mayBeRepeated({ kind, body, destroys = false }: StorageRequest, code: string): boolean {
  const isWhole = body === undefined || typeof body === "string" || body instanceof Uint8Array;
  if (!isWhole) return false;
  return NOT_SENT.has(code) || (code === LOST && (destroys || kind === "kv" || kind === "r2"));
}

/** A key among the links between Workers. No script can have this name. */
function keyOf(accountId: string): { accountId: string; scriptName: string } {
  return { accountId, scriptName: "its storage" };
}
