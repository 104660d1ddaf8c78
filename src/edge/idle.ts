import { setTimeout as delay } from "node:timers/promises";
import type { Logger } from "pino";
import type { ScriptKey } from "../contract/change-feed.ts";
import { keyIn } from "../contract/key-in.ts";
import type { LaidOutVersion } from "./config/workerd-config.ts";

/** A generation whose processes can be stopped while nobody needs them. */
export interface Sleeper {
  readonly version: Pick<LaidOutVersion, "accountId" | "scriptName" | "bindings">;
  readonly sockets: readonly string[];
  /** Can it be stopped at all? What is called by more than requests and other Workers cannot. */
  readonly mayRest: boolean;
  /** Nothing of it runs, until it is woken. */
  readonly isIdle: boolean;
  /** It is being started because it was woken. */
  readonly isWaking: boolean;
  /** All of its processes have answered a probe. */
  readonly runs: boolean;
  /** When it was last known to be of use, as `performance.now()`. */
  usedAt: number;
  /** Nobody connects to it any more; `show` takes that back. */
  hide(): Promise<void>;
  show(): Promise<void>;
  /** Ends what was hidden. */
  sleep(): Promise<void>;
  /** Resolves when it runs, or has failed to twice. Once, however often it is called. */
  wake(): Promise<void>;
}

export interface IdleOptions {
  /** ms without a request. Null: nothing is stopped, and all is started at once. */
  readonly after: number | null;
  readonly ingress: {
    idleFor(sockets: readonly string[]): Promise<readonly (number | null)[]>;
    release(sockets: readonly string[], idleFor: number): Promise<boolean>;
  };
  /** Where a service binding to this script leads. */
  target(this: void, key: ScriptKey): Sleeper | null;
  /** All that is routed. */
  routed(this: void): readonly Sleeper[];
  readonly log: Logger;
}

/**
 * Stops Workers that had no request for a while, and starts them again for the next request.
 *
 * A Worker keeps its connections to the services that it binds, so those run whenever it does: they
 * are woken with it, and stopped with it at the earliest.
 */
export class IdleWorkers {
  readonly #options: IdleOptions;
  readonly #all = new Set<Sleeper>();
  readonly #resting = new Map<Sleeper, Promise<void>>();
  /** Those that are woken together, until all of them run. */
  readonly #wakes = new Set<ReadonlySet<Sleeper>>();
  readonly #stopping = new AbortController();

  constructor(options: IdleOptions) {
    this.#options = options;
    if (options.after !== null) void this.#watch(options.after);
  }

  get isOn(): boolean {
    return this.#options.after !== null;
  }

  /** Knows of a generation from when it is made until it is gone. */
  add(one: Sleeper): void {
    this.#all.add(one);
  }

  remove(one: Sleeper): void {
    this.#all.delete(one);
  }

  /** Has the generation at this socket run if it is idle. True: it was, and runs now. */
  async wakeAt(socket: string): Promise<boolean> {
    const found = [...this.#all].find(({ sockets }) => sockets.includes(socket));
    if (found === undefined) return false;
    if (!found.isIdle && !found.isWaking && !this.#resting.has(found)) return false;
    await this.wake(found);
    return found.runs;
  }

  /** Has it run, and all that it can call. */
  async wake(first: Sleeper): Promise<void> {
    const all = this.#withCalled(first);
    for (const one of all) one.usedAt = performance.now();
    this.#wakes.add(all);
    try {
      await Promise.all(
        [...all].map(async (one) => {
          await this.#resting.get(one);
          await one.wake();
        }),
      );
    } finally {
      this.#wakes.delete(all);
    }
  }

  /** It starts: what it calls has to run as well. */
  async rouseCalled(caller: Sleeper): Promise<void> {
    if (!this.isOn) return;
    const called = this.#called(caller);
    await Promise.all(called.map((one) => this.wake(one)));
  }

  /** It is routed from now on, idle: it runs at once if somebody who runs can call it. */
  async begin(one: Sleeper): Promise<void> {
    const awake = [...this.#all].filter(({ isIdle }) => !isIdle);
    if (callersIn(awake, one).length > 0) await this.wake(one);
  }

  /** Ends when what it has begun has ended. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await Promise.all(this.#resting.values());
  }

  async #watch(after: number): Promise<void> {
    const { signal } = this.#stopping;
    const pause = Math.min(Math.max(after / 10, 50), 5_000);
    while (!signal.aborted) {
      await delay(pause, null, { signal, ref: false }).catch(() => {});
      if (signal.aborted) return;
      try {
        await this.#look(after);
      } catch (error) {
        if (!signal.aborted) this.#options.log.error({ error }, "idle Workers were not looked for");
      }
    }
  }

  async #look(after: number): Promise<void> {
    const { ingress, routed } = this.#options;
    const awake = routed().filter((one) => one.mayRest && one.runs && !this.#resting.has(one));
    if (awake.length === 0) return;
    await this.#read(awake, await ingress.idleFor(awake.flatMap(({ sockets }) => sockets)));
    const neededAt = this.#neededAt(new Set(routed()));
    const now = performance.now();
    const ripe = new Set(
      awake.filter((one) => !this.#isBeingWoken(one) && now - (neededAt.get(one) ?? now) >= after),
    );
    for (const group of this.#groups(ripe)) void this.#rest(group, after);
  }

  /** What is called may run long before its caller does, and is needed when that has started. */
  #isBeingWoken(one: Sleeper): boolean {
    return [...this.#wakes].some((all) => all.has(one));
  }

  async #read(awake: readonly Sleeper[], idleFor: readonly (number | null)[]): Promise<void> {
    const now = performance.now();
    let index = 0;
    for (const one of awake) {
      for (const _ of one.sockets) {
        const ms = idleFor[index++] ?? null;
        if (ms !== null) one.usedAt = Math.max(one.usedAt, now - ms);
      }
    }
  }

  /**
   * A service is needed as long as a running Worker can call it. A generation without a route,
   * which is about to get one or drains, is always needed.
   */
  #neededAt(routed: ReadonlySet<Sleeper>): Map<Sleeper, number> {
    const needed = new Map<Sleeper, number>();
    for (const one of this.#all) {
      if (one.isIdle) continue;
      const at = one.mayRest && routed.has(one) ? one.usedAt : Infinity;
      for (const called of this.#withCalled(one)) {
        needed.set(called, Math.max(needed.get(called) ?? -Infinity, at));
      }
    }
    return needed;
  }

  /** Those that are connected to each other are stopped together, or not at all. */
  *#groups(ripe: ReadonlySet<Sleeper>): Iterable<readonly Sleeper[]> {
    const left = new Set(ripe);
    for (const first of ripe) {
      if (!left.delete(first)) continue;
      const group = [first];
      for (const one of group) {
        for (const near of [...this.#called(one), ...callersIn(this.#all, one)]) {
          if (left.delete(near)) group.push(near);
        }
      }
      yield group;
    }
  }

  #rest(group: readonly Sleeper[], after: number): Promise<void> {
    const began = performance.now();
    const done = this.#restNow(group, began, after).catch((error: unknown) => {
      this.#options.log.error({ error }, "a Worker that is idle was not stopped");
    });
    for (const one of group) this.#resting.set(one, done);
    return done.finally(() => {
      for (const one of group) this.#resting.delete(one);
    });
  }

  async #restNow(group: readonly Sleeper[], began: number, after: number): Promise<void> {
    const { ingress, log } = this.#options;
    let isUsed = true;
    try {
      // From here on, a request finds no process at the socket, and requests a start.
      await Promise.all(group.map((one) => one.hide()));
      // One that came before has a connection, which the ingress counts.
      const released = await ingress.release(
        group.flatMap(({ sockets }) => sockets),
        after,
      );
      isUsed = !released || group.some(({ usedAt }) => usedAt >= began);
    } finally {
      if (isUsed) await Promise.all(group.map((one) => one.show()));
    }
    if (isUsed) return;
    await Promise.all(group.map((one) => one.sleep()));
    for (const { version } of group) {
      const { accountId: account, scriptName: script } = version;
      log.info({ account, script }, "a Worker without requests was stopped until the next one");
    }
  }

  #withCalled(first: Sleeper): Set<Sleeper> {
    const all = new Set([first]);
    for (const one of all) for (const called of this.#called(one)) all.add(called);
    return all;
  }

  #called({ version }: Sleeper): readonly Sleeper[] {
    return servicesOf(version).flatMap((key) => this.#options.target(key) ?? []);
  }
}

function callersIn(all: Iterable<Sleeper>, { version }: Sleeper): readonly Sleeper[] {
  const id = idOf(version);
  return [...all].filter((one) => servicesOf(one.version).some((key) => idOf(key) === id));
}

function servicesOf({ accountId, bindings }: Sleeper["version"]): readonly ScriptKey[] {
  return bindings.flatMap((binding) =>
    binding.type === "service" ? { accountId, scriptName: binding.service } : [],
  );
}

function idOf({ accountId, scriptName }: ScriptKey): string {
  return keyIn(accountId, scriptName);
}
