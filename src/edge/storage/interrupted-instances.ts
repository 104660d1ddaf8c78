import { setTimeout as delay } from "node:timers/promises";
import type { Logger } from "pino";
import type { WorkerVersion } from "../../contract/change-feed.ts";
import { IN_MEMORY, Pace } from "./instance-pace.ts";
import { instanceFiles } from "./instance-files.ts";
import type { Objects } from "./objects.ts";
import { askedOf } from "./workflow-asked.ts";
import { hasWorkflows } from "./workflows.ts";

interface Interrupted {
  readonly version: Pick<WorkerVersion, "accountId" | "workflows">;
  /** The folder of the Worker's process. */
  readonly folder: string;
  readonly objects: Pick<Objects, "folder">;
  readonly log: Logger;
}

/**
 * Makes instances continue in which a step was running when the previous process ended. The engine itself does so at an
 * alarm, up to ten minutes later; instances for which this fails wait for that.
 */
export class InterruptedInstances {
  readonly #options: Interrupted;
  /** The times of recent starts of the process. */
  #starts: readonly number[] = [];

  constructor(options: Interrupted) {
    this.#options = options;
  }

  /** To be called when the process runs, after each start. Never rejects. */
  async wake(): Promise<void> {
    if (!hasWorkflows(this.#options.version)) return;
    const now = performance.now();
    this.#starts = [...this.#starts.filter((time) => now - time < WINDOW), now];
    await delay(pauseBefore(this.#starts.length), undefined, { ref: false });
    // Another process runs by now, and has its own pause.
    if (this.#starts.at(-1) !== now) return;
    try {
      await this.#wakeAll(now);
    } catch (error) {
      this.#options.log.debug({ err: error }, "interrupted instances of Workflows were not woken");
    }
  }

  async #wakeAll(start: number): Promise<void> {
    const { version, folder, objects } = this.#options;
    const { accountId, workflows = [] } = version;
    const pace = new Pace(IN_MEMORY);
    for (const { name, workflowId } of workflows) {
      const files = await instanceFiles(objects.folder(accountId, workflowId));
      const keys = files
        .filter(({ written }) => Date.now() - written < LATELY)
        .toSorted((a, b) => b.written - a.written)
        .slice(0, MOST_WOKEN)
        .map(({ key }) => key);
      for (let at = 0; at < keys.length; at += AT_ONCE) {
        const some = keys.slice(at, at + AT_ONCE);
        await pace.passed(some.length);
        // The process of this start has ended, or will hardly answer.
        if (this.#starts.at(-1) !== start) return;
        await askedOf(folder, name, { call: "wake", keys: some });
      }
    }
  }
}

/**
 * The pause in ms. An instance may be what ends the process each time that it continues; during the pause the Worker
 * can serve requests.
 * @param starts within the last ten minutes, including this one
 */
export function pauseBefore(starts: number): number {
  return starts <= AT_ONCE_FOR
    ? 0
    : Math.min(1_000 * 2 ** (starts - AT_ONCE_FOR - 1), LONGEST_PAUSE);
}

const AT_ONCE_FOR = 3;
/** ms */
const LONGEST_PAUSE = 60_000;
const WINDOW = 10 * 60_000;
const LATELY = 60 * 60_000;
/** The most instances of one Workflow, and how many at once. */
const MOST_WOKEN = 1_000;
const AT_ONCE = 50;
