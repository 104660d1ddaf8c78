import { dirname } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { z } from "zod";
import { keyIn } from "../../contract/key-in.ts";
import type { EventOutcome, ScheduledRun } from "../../contract/events.ts";
import type { StorageAnswer } from "../../contract/storage.ts";
import type { WorkerEvent } from "../../contract/worker-log.ts";
import { Failure } from "../../failures/failures.ts";
import type { RunDirectory } from "../../process/run-directory.ts";
import { EVENTS } from "../config/events-config.ts";
import { eventEntry } from "./log-entries.ts";
import { mainGeneration } from "../live.ts";
import { ask } from "../storage/ask.ts";
import type { Traffic } from "../traffic.ts";

interface EventsOptions {
  readonly run: RunDirectory;
  readonly traffic: Pick<Traffic, "get">;
  readonly tell: (event: WorkerEvent) => void;
}

/** Calls Workers for events: cron triggers and queues. */
export class WorkerEvents {
  readonly #options: EventsOptions;
  /** How many of a script's go on. */
  readonly #running = new Map<string, number>();
  readonly #stopping = new AbortController();

  constructor(options: EventsOptions) {
    this.#options = options;
  }

  /** As of `Edge.scheduled`. */
  async scheduled(run: ScheduledRun): Promise<EventOutcome> {
    const { cron, scheduledTime } = run;
    const id = keyIn(run.accountId, run.scriptName);
    const running = this.#running.get(id) ?? 0;
    try {
      if (running >= MOST_RUNS) throw new Failure("events_exceeded");
      this.#running.set(id, running + 1);
      try {
        return await this.#call(run, { cron, scheduledTime });
      } finally {
        const left = (this.#running.get(id) ?? 1) - 1;
        if (left === 0) this.#running.delete(id);
        else this.#running.set(id, left);
      }
    } catch (error) {
      if (error instanceof Failure) this.#options.tell(eventEntry(run, error));
      throw error;
    }
  }

  stop(): void {
    this.#stopping.abort();
  }

  /** Waits for a process that is being started, but never calls twice. */
  async #call(run: ScheduledRun, told: object): Promise<EventOutcome> {
    const { signal } = this.#stopping;
    const until = performance.now() + LONGEST_WAIT;
    for (;;) {
      try {
        return await read(await this.#ask(run, told));
      } catch (cause) {
        if (!isUnreached(cause) || performance.now() > until || signal.aborted) {
          throw new Failure("event_not_delivered", {
            message: `the Worker "${run.scriptName}" was not called, or did not return: ${(cause as Error).message}`,
            cause,
          });
        }
      }
      await delay(PAUSE, undefined, { signal, ref: false }).catch(() => {});
    }
  }

  /** The version with the largest share is called, in its first process. */
  #ask(run: ScheduledRun, told: object): Promise<StorageAnswer> {
    const { traffic, run: folder } = this.#options;
    const live = traffic.get(run);
    if (live === undefined) throw new NotDeployed("nothing of it is deployed");
    return ask({
      folder: folder.absolute(dirname(mainGeneration(live).socket)),
      socket: EVENTS,
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(told),
      timeout: LONGEST_RUN,
    });
  }
}

class NotDeployed extends Error {
  readonly code = "ENOENT";
}

const answered = z.object({ outcome: z.string().max(50) });

async function read({ status, body }: StorageAnswer): Promise<EventOutcome> {
  if (status !== 200) throw new Error(`its process answered ${status}`);
  let text = "";
  for await (const chunk of body) {
    text += Buffer.from(chunk).toString("latin1");
    // A hostile program may stand in workerd's place.
    if (text.length > LONGEST_ANSWER) throw new Error("its process answered at length");
  }
  return answered.parse(JSON.parse(text));
}

/** Nobody listened: the Worker has not begun with it. */
function isUnreached(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === "ENOENT" || code === "ECONNREFUSED";
}

/** Bytes. */
const LONGEST_ANSWER = 1_000;
/** Of one script. */
const MOST_RUNS = 16;
/** ms, as on Cloudflare */
const LONGEST_RUN = 15 * 60_000;
/** ms */
const LONGEST_WAIT = 30_000;
const PAUSE = 250;
