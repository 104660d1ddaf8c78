/** A process for the supervisor's tests, which misbehaves when told to. */
import { pino } from "pino";
import { Failure } from "../../src/failures/failures.ts";
import { serve } from "../../src/process/serve.ts";

const log = pino({ base: null }, pino.destination({ dest: 1, sync: true }));
let told: string[] = [];

const supervisor = serve({
  call: (method, args, signal) => answers[method as keyof ServedMethods](args, signal),
  stop: async () => {},
  abandon: () => supervisor.event("abandoned"),
});

/** The methods that the tests call. */
export interface ServedMethods {
  tell(text: string): void;
  told(): readonly string[];
  end(): void;
  block(): void;
  never(): void;
  cancelled(): void;
  refuse(): void;
  throwLater(): void;
  log(level: "info" | "error", text: string): void;
}

const answers: {
  [K in keyof ServedMethods]: (args: readonly unknown[], signal: AbortSignal) => unknown;
} = {
  tell: ([text]) => void (told = [...told, String(text)]),
  told: () => told,
  end: () => process.exit(3),
  block: () => {
    for (;;);
  },
  never: () => new Promise(() => {}),
  cancelled: (_, signal) =>
    new Promise(() => signal.addEventListener("abort", () => supervisor.event("cancelled"))),
  refuse: () => {
    throw new Failure("certificate_gone", { message: "not here", facts: { certificateId: "c" } });
  },
  throwLater: () => {
    setImmediate(() => {
      throw new TypeError("nobody catches this");
    });
    return new Promise(() => {});
  },
  log: ([level, text]) => log[level as "info"]({ certificateId: "c" }, String(text)),
};
