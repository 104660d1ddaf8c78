import type { Logger } from "pino";
import type { Edge } from "../../../contract/edge.ts";
import {
  claimRun,
  deployedSchedules,
  type DeployedSchedule,
} from "../../../store/workers/schedules.ts";
import type { Database } from "../../../store/database.ts";
import type { Store } from "../../../store/store.ts";
import { MINUTE, readCron } from "./expression.ts";

export interface TriggersOptions {
  readonly store: Pick<Store, "db" | "housekeep">;
  readonly edge: Pick<Edge, "scheduled">;
  readonly clock: () => Date;
  readonly log: Logger;
}

/**
 * Calls Workers at the minutes that their cron triggers name. A minute is claimed in the store first, so no minute is
 * run twice, neither after a restart nor by a second control plane. Runs missed in the last quarter of an hour are
 * replaced by one run.
 */
export class CronTriggers implements Disposable {
  readonly #options: TriggersOptions;
  /** The latest minute, in Unix time, that has been looked at. */
  #seen = 0;
  #isBusy = false;
  #timer: NodeJS.Timeout | null = null;

  constructor(options: TriggersOptions) {
    this.#options = options;
  }

  /** Looks for missed runs now, and from then on at each minute. */
  static start(options: TriggersOptions): CronTriggers {
    const triggers = new CronTriggers(options);
    void triggers.#goOn();
    return triggers;
  }

  /** Starts all runs that are due; resolves when all were started. If a look is still running, no other one begins. */
  async look(): Promise<void> {
    if (this.#isBusy) return;
    this.#isBusy = true;
    try {
      const { store, clock } = this.#options;
      const now = Math.floor(clock().getTime() / MINUTE) * MINUTE;
      const due = (await deployedSchedules(store.db)).flatMap((schedule) => {
        const minute = latestDue(schedule, now, this.#seen);
        return minute === null ? [] : [{ schedule, minute }];
      });
      const taken = due.length === 0 ? [] : await store.housekeep(({ db }) => take(db, due));
      for (const { schedule, minute } of taken) void this.#run(schedule, minute);
      this.#seen = now;
    } finally {
      this.#isBusy = false;
    }
  }

  [Symbol.dispose](): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }

  async #goOn(): Promise<void> {
    const { clock, log } = this.#options;
    const next = (): number => MINUTE - (clock().getTime() % MINUTE);
    this.#timer = setTimeout(() => void this.#goOn(), next()).unref();
    try {
      await this.look();
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      log.error({ reason }, "cron triggers cannot be read, the next minute looks again");
    }
  }

  /** A failed run is recorded in the Worker's log. */
  async #run({ accountId, scriptName, cron }: DeployedSchedule, minute: number): Promise<void> {
    const { edge, log } = this.#options;
    const facts = { account: accountId, script: scriptName, cron };
    try {
      const run = { accountId, scriptName, cron, scheduledTime: minute };
      const { outcome } = await edge.scheduled(run);
      log.debug({ ...facts, outcome }, "a cron trigger ran");
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      log.warn({ ...facts, reason }, "a cron trigger did not run");
    }
  }
}

interface Due {
  readonly schedule: DeployedSchedule;
  /** Unix time in ms. */
  readonly minute: number;
}

async function take(db: Database, due: readonly Due[]): Promise<readonly Due[]> {
  const taken: Due[] = [];
  for (const one of due) {
    const minute = new Date(one.minute).toISOString();
    if (await claimRun(db, one.schedule, minute)) taken.push(one);
  }
  return taken;
}

/** The latest minute that is due and was not run. Null: there is none. */
function latestDue({ cron, ranUpTo }: DeployedSchedule, now: number, seen: number): number | null {
  const ran = Date.parse(ranUpTo);
  // Times far in the future come from a clock that was set back since, and are ignored.
  const known = Math.max(...[ran, seen].filter((time) => time <= now + CATCH_UP));
  const expression = readCron(cron);
  for (let minute = now; minute > Math.max(known, now - CATCH_UP); minute -= MINUTE) {
    if (expression.isDue(new Date(minute))) return minute;
  }
  return null;
}

/** ms */
const CATCH_UP = 15 * MINUTE;
