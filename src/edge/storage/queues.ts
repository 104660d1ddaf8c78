import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import type { Logger } from "pino";
import type { ScriptKey } from "../../contract/change-feed.ts";
import type { QueueConfig } from "../../contract/queue.ts";
import { Failure } from "../../failures/failures.ts";
import type { RunDirectory } from "../../process/run-directory.ts";
import type { Sandbox } from "../../process/walls/sandbox-kinds.ts";
import { EVENTS_DOOR, type LinkTarget, type ServiceLinks } from "../config/service-links.ts";
import { consumerSocket, queueProcess, queueServices, type ConsumedQueue } from "./queue-config.ts";
import { ask } from "./ask.ts";
import { CAPABILITY_HEADER, type Capabilities } from "./capabilities.ts";
import { StorageProcess } from "./storage-process.ts";

export interface QueuesOptions {
  readonly run: RunDirectory;
  readonly sandbox: Sandbox;
  readonly links: ServiceLinks;
  /** Of `StorageOptions`. */
  readonly cpu: number;
  readonly log: Logger;
  readonly capabilities: Capabilities;
  folderOf(this: void, accountId: string): string;
  /** The Worker that consumes a queue. Null: it is not deployed. */
  target(this: void, key: ScriptKey): LinkTarget | null;
}

interface Account {
  /** Relative to the run directory. */
  readonly place: string;
  queues: readonly QueueConfig[];
  /** Null: the process was not started. */
  process: StorageProcess | null;
  /** Changes are made one at a time. */
  turn: Promise<void>;
}

/**
 * The queues of the accounts: one process for each account that has a queue. Its configuration names the consumers, so
 * it is started again when they change.
 */
export class Queues {
  readonly #options: QueuesOptions;
  readonly #accounts = new Map<string, Account>();

  constructor(options: QueuesOptions) {
    this.#options = options;
  }

  /** Resolves when messages are delivered as given. @throws Failure `storage_unavailable` */
  async apply(accountId: string, queues: readonly QueueConfig[]): Promise<void> {
    const account = this.#account(accountId);
    await this.#inTurn(account, async () => {
      if (isDeepStrictEqual(account.queues, queues)) return;
      const runs = account.process !== null;
      // Stopped first: it removes the links that the previous `account.queues` name.
      await this.#stop(account, GRACE);
      account.queues = queues;
      if (runs) await this.#start(accountId, account);
    });
    if (queues.length > 0) await this.running(accountId);
  }

  /** The account's process, started if necessary. @throws Failure `storage_unavailable` */
  async running(accountId: string): Promise<StorageProcess> {
    const account = this.#account(accountId);
    await this.#inTurn(account, async () => {
      if (account.process === null) await this.#start(accountId, account);
    });
    if (account.process === null) throw new Failure("storage_unavailable");
    return account.process;
  }

  /** Makes `path` lead to the account's queues. */
  async bind(path: string, accountId: string): Promise<void> {
    await this.running(accountId);
    const { place } = this.#account(accountId);
    await this.#options.links.add(path, keyOf(accountId), "queue", targetAt(place));
  }

  placeOf(accountId: string): string {
    return this.#account(accountId).place;
  }

  async stop(grace: number): Promise<void> {
    const all = [...this.#accounts.values()];
    await Promise.all(all.map((one) => this.#inTurn(one, () => this.#stop(one, grace))));
  }

  #account(accountId: string): Account {
    let account = this.#accounts.get(accountId);
    if (account === undefined) {
      const place = `q/${this.#accounts.size + 1}`;
      account = { place, queues: [], process: null, turn: Promise.resolve() };
      this.#accounts.set(accountId, account);
    }
    return account;
  }

  async #inTurn(account: Account, work: () => Promise<void>): Promise<void> {
    const done = account.turn.then(work);
    account.turn = done.catch(() => {});
    await done;
  }

  async #start(accountId: string, account: Account): Promise<void> {
    const { run, sandbox, links, log, cpu, capabilities, folderOf, target } = this.#options;
    const { place, queues } = account;
    const consumed = queues.filter((one): one is ConsumedQueue => one.consumer !== null);
    const data = join(folderOf(accountId), "queues");
    await mkdir(data, { recursive: true, mode: 0o700 });
    try {
      account.process = await StorageProcess.start({
        ...queueProcess,
        services: () => queueServices(queues, consumed),
        run,
        sandbox,
        relative: place,
        data,
        key: capabilities.key,
        cpu,
        log: log.child({ account: accountId, from: "queues" }),
        started: async () => {
          await links.renew(`${place}/queue`);
          for (const [index, { consumer }] of consumed.entries()) {
            const script = { accountId, scriptName: consumer.scriptName };
            const path = `${place}/${consumerSocket(index)}`;
            await links.add(path, script, EVENTS_DOOR, target(script));
          }
        },
      });
    } catch (cause) {
      throw new Failure("storage_unavailable", {
        message: `the queues of the account do not start: ${(cause as Error).message}`,
        cause,
      });
    }
    for (const { name } of consumed) {
      const headers = { [CAPABILITY_HEADER]: capabilities.of("queue", name) };
      const woken = { folder: run.absolute(place), socket: "queue", path: "/wake", headers };
      await ask(woken).catch((error: Error) => {
        log.warn({ queue: name, reason: error.message }, "a queue waits for its next message");
      });
    }
  }

  async #stop(account: Account, grace: number): Promise<void> {
    const { process, place, queues } = account;
    account.process = null;
    this.#options.links.remove(queues.map((_, index) => `${place}/${consumerSocket(index)}`));
    await process?.stop(grace);
  }
}

/** ms. A batch that is still being delivered then is delivered again. */
const GRACE = 1_000;

function targetAt(place: string): LinkTarget {
  return { socket: place, entrypoints: new Map([["queue", `${place}/queue`]]) };
}

/** A key among the links between Workers. No script can have this name. */
function keyOf(accountId: string): ScriptKey {
  return { accountId, scriptName: "its queues" };
}
