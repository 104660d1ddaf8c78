import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { pino } from "pino";
import { IdleWorkers, type Sleeper } from "./idle.ts";

/** ms */
const AFTER = 60;

/** One that starts within `startsIn` ms. */
class Worker implements Sleeper {
  readonly version: Sleeper["version"];
  readonly sockets: readonly string[];
  readonly mayRest = true;
  isIdle = true;
  isWaking = false;
  usedAt = performance.now();
  stops = 0;
  readonly #startsIn: number;

  constructor(scriptName: string, startsIn: number, ...services: readonly string[]) {
    const bindings = services.map((service) => ({ type: "service" as const, name: "S", service }));
    this.version = { accountId: "a", scriptName, bindings };
    this.sockets = [scriptName];
    this.#startsIn = startsIn;
  }

  get runs(): boolean {
    return !this.isIdle && !this.isWaking;
  }

  async hide(): Promise<void> {}
  async show(): Promise<void> {}

  async sleep(): Promise<void> {
    this.isIdle = true;
    this.stops += 1;
  }

  async wake(): Promise<void> {
    if (!this.isIdle) return;
    this.isIdle = false;
    this.isWaking = true;
    await delay(this.#startsIn);
    this.isWaking = false;
    this.usedAt = performance.now();
  }
}

test("what a Worker calls is not stopped while that Worker takes long to start", async () => {
  const [caller, called] = [new Worker("caller", 6 * AFTER, "called"), new Worker("called", 0)];
  const idle = new IdleWorkers({
    after: AFTER,
    ingress: {
      idleFor: (sockets) => Promise.resolve(sockets.map(() => null)),
      release: () => Promise.resolve(true),
    },
    target: ({ scriptName }) => (scriptName === "called" ? called : null),
    routed: () => [caller, called],
    log: pino({ level: "silent" }),
  });
  try {
    idle.add(caller);
    idle.add(called);
    await idle.wakeAt("caller");
    assert.deepEqual([caller.runs, called.runs, called.stops], [true, true, 0]);
    // Nobody asks for either: both are stopped in the end.
    while (!caller.isIdle || !called.isIdle) await delay(10);
  } finally {
    await idle.stop();
  }
});
