import type { ScriptKey } from "./change-feed.ts";

/** One call of a Worker's `scheduled()` handler. */
export interface ScheduledRun extends ScriptKey {
  /** The trigger's expression. */
  readonly cron: string;
  /** Unix time in ms: when it was due. */
  readonly scheduledTime: number;
}

/** How the Worker took it. */
export interface EventOutcome {
  /** `ok`, `exception`, `exceededCpu`, … */
  readonly outcome: string;
}
