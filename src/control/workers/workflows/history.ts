import { z } from "zod";

interface Told {
  readonly name?: string | undefined;
  readonly message?: string | undefined;
}

/** An entry of an instance's history, as the engine stores it. */
interface Event {
  readonly type: string;
  /** Unix time in ms. */
  readonly timestamp: number;
  readonly stepName?: string | undefined;
  readonly config?: unknown;
  readonly output?: unknown;
  readonly params?: unknown;
  readonly error?: Told | null | undefined;
}

export interface ToldInstance {
  readonly status: string;
  readonly output?: unknown;
  readonly error?: Told | null | undefined;
  /** ISO 8601. */
  readonly createdOn: string;
  readonly events: readonly Event[];
}

const saidError = z.object({ name: z.string(), message: z.string() }).partial().nullish();

/** What a Worker's process reports about an instance. */
export const toldInstance: z.ZodType<ToldInstance> = z.object({
  status: z.string().max(50),
  output: z.unknown().optional(),
  error: saidError,
  createdOn: z.iso.datetime(),
  events: z
    .array(
      z.object({
        type: z.string().max(100),
        timestamp: z.number().min(0).max(8.64e15),
        stepName: z.string().max(1_000).optional(),
        config: z.unknown().optional(),
        output: z.unknown().optional(),
        params: z.unknown().optional(),
        error: saidError,
      }),
    )
    .max(10_000),
});

interface Attempt {
  readonly start: string;
  end: string | null;
  success: boolean | null;
  error: object | null;
}

interface Step {
  readonly type: "step" | "sleep" | "waitForEvent";
  readonly name: string;
  readonly start: string;
  end: string | null;
  success: boolean | null;
  finished: boolean;
  config: unknown;
  readonly attempts: Attempt[];
  output: unknown;
  error: object | null;
}

/** An instance as the API shows it, derived from its history. */
export function shownInstance(told: ToldInstance): Readonly<Record<string, unknown>> {
  const { status, output, error, createdOn, events } = told;
  const started = events.find(({ type }) => type === "workflow_started");
  const ended = events.findLast(({ type }) => ENDS.has(type));
  const isOver = OVER.has(status);
  return {
    status,
    queued: createdOn,
    start: started ? at(started) : null,
    end: isOver && ended ? at(ended) : null,
    success: isOver ? status === "complete" : null,
    // The engine does not record who made the instance.
    trigger: { source: "unknown" },
    params: started?.params ?? null,
    output: output ?? null,
    error: error ?? null,
    steps: [
      ...stepsOf(events).map(shownStep),
      ...(status === "terminated" ? [{ type: "termination", trigger: { source: "unknown" } }] : []),
    ],
    step_count: stepsOf(events).length,
  };
}

function stepsOf(events: readonly Event[]): readonly Step[] {
  const steps = new Map<string, Step>();
  for (const one of events) {
    const { type, stepName = "" } = one;
    const begun = BEGINS[type];
    // A step that was repeated after a crash appears once.
    const key = `${KINDS[type.split("_")[0] ?? ""] ?? ""} ${stepName}`;
    if (begun !== undefined && !steps.has(key)) steps.set(key, fresh(begun, stepName, one));
    const step = steps.get(key);
    if (step !== undefined) take(step, one);
  }
  return [...steps.values()];
}

function take(step: Step, one: Event): void {
  const error = one.error ?? null;
  switch (one.type) {
    case "attempt_started":
      step.attempts.push({ start: at(one), end: null, success: null, error: null });
      return;
    case "attempt_completed":
    case "attempt_errored": {
      const last = step.attempts.at(-1);
      const success = one.type === "attempt_completed";
      if (last) Object.assign(last, { end: at(one), success, error });
      return;
    }
    case "step_completed":
    case "sleep_completed":
    case "wait_completed":
      Object.assign(step, { end: at(one), success: true, finished: true, output: one.output });
      return;
    case "step_errored":
    case "wait_timed_out":
      step.error = step.attempts.at(-1)?.error ?? error;
      Object.assign(step, { end: at(one), success: false, finished: true });
  }
}

function fresh(type: Step["type"], name: string, one: Event): Step {
  const config = one.config ?? null;
  const none = { end: null, success: null, finished: false, error: null };
  return { type, name, start: at(one), ...none, config, attempts: [], output: null };
}

function shownStep(step: Step): object {
  const { type, name, start, end, success, finished, config, attempts, output, error } = step;
  const common = { name, type, start, end };
  if (type === "step") return { ...common, success, config, attempts, output: output ?? null };
  if (type === "sleep") return { ...common, finished, error };
  return { ...common, finished, output: output ?? null, error };
}

function at({ timestamp }: Event): string {
  return new Date(timestamp).toISOString();
}

const BEGINS: Readonly<Record<string, Step["type"]>> = {
  step_started: "step",
  sleep_started: "sleep",
  wait_started: "waitForEvent",
};
const KINDS: Readonly<Record<string, string>> = {
  step: "step",
  attempt: "step",
  sleep: "sleep",
  wait: "wait",
};
const OVER: ReadonlySet<string> = new Set(["complete", "errored", "terminated"]);
const ENDS: ReadonlySet<string> = new Set([
  "workflow_completed",
  "workflow_errored",
  "workflow_terminated",
]);
