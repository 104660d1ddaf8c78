import { setTimeout as delay } from "node:timers/promises";
import type { Logger } from "pino";
import type { IngressHandle } from "../ingress/handle.ts";
import type { Generation } from "./generation/generation.ts";
import {
  binds,
  generationBinds,
  generationsOf,
  mainGeneration,
  scriptId,
  updateOf,
  type LiveScript,
} from "./live.ts";
import type { HowEnded } from "../ingress/protocol.ts";
import type { RunDirectory } from "../process/run-directory.ts";
import { WaitingRoom } from "./waiting-room.ts";
import type { LinkTarget, ServiceLinks } from "./config/service-links.ts";
import { Slots } from "./slots.ts";
import type { ScriptKey } from "../contract/change-feed.ts";
import type { WorkerPorts } from "./worker-ports.ts";

export interface RoutesOptions {
  readonly ingress: Pick<IngressHandle, "scripts" | "complete" | "retire">;
  readonly links: ServiceLinks;
  readonly ports: Pick<WorkerPorts, "follow" | "generations">;
  readonly run: RunDirectory;
  /** ms that a generation which is replaced may go on with the requests it works on */
  readonly drain: number;
  /** ms that its `waitUntil()` tasks have after that */
  readonly waitUntil: number;
  readonly log: Logger;
}

/** Which generations get the traffic, from clients and from other Workers. */
export class Traffic {
  readonly #options: RoutesOptions;
  readonly #live = new Map<string, LiveScript>();
  /** One switch at a time. */
  readonly #turn = new Slots(1);
  /** In the order in which they were left. */
  readonly #draining = new Map<Generation, AbortController>();
  readonly #stopping = new AbortController();
  /** Where those wait who call a generation that has no objects yet. */
  readonly #rooms = new Map<Generation, { room: WaitingRoom; leave: () => void }>();

  constructor(options: RoutesOptions) {
    this.#options = options;
  }

  get(key: ScriptKey): LiveScript | undefined {
    return this.#live.get(scriptId(key));
  }

  /** What is routed now. */
  scripts(): readonly LiveScript[] {
    return [...this.#live.values()];
  }

  /** Every generation there is, those that drain too. */
  generations(): readonly Generation[] {
    const routed = [...this.#live.values()].flatMap(generationsOf);
    return [...routed, ...this.#draining.keys(), ...this.#options.ports.generations()];
  }

  /** These are deployed, though nothing of them runs yet: their hosts answer 503 meanwhile. */
  async announce(scripts: readonly AnnouncedScript[]): Promise<void> {
    const fresh = scripts.filter((one) => this.get(one) === undefined);
    if (fresh.length === 0) return;
    await this.#options.ingress.scripts(
      fresh.map(({ accountId, scriptName, hosts, routes }) => ({
        accountId,
        scriptName,
        entry: { scriptName, hosts, routes, targets: [] },
      })),
    );
  }

  /** All that is deployed was announced. */
  complete(): Promise<void> {
    return this.#options.ingress.complete();
  }

  /**
   * Moves a script's traffic to generations that run, and drains those it leaves.
   *
   * A Worker keeps its RPC connection to a service for as long as both run. So if a service's
   * generation is replaced, the Workers that bind it get new processes, too, and so do the Workers
   * that bind those. All of them move at once: no new process has connected to an old one, so
   * nothing in flight is cut.
   *
   * @param decide says what is to run, from what runs when the move's turn comes. Null: nothing
   */
  async move(
    key: ScriptKey,
    decide: (live: LiveScript | undefined) => LiveScript | null,
  ): Promise<void> {
    const moves = await this.#turn.run(async () => {
      const wave = new Map([[scriptId(key), { key, next: decide(this.get(key)) }]]);
      await this.#addDependents(wave);
      const left: Generation[] = [];
      for (const [id, moved] of wave) {
        const before = this.#live.get(id);
        const stay = new Set(generationsOf(moved.next));
        left.push(...generationsOf(before).filter((generation) => !stay.has(generation)));
        if (moved.next === null) this.#live.delete(id);
        else this.#live.set(id, moved.next);
        await this.#options.links.move(moved.key, await this.#found(moved.next));
      }
      await this.#options.ingress.scripts(
        [...wave.values()].map((moved) => updateOf(moved.key, moved.next)),
      );
      for (const generation of left) void this.#drain(generation);
      return [...wave.values()];
    });
    const begun = moves.flatMap(({ next }) => generationsOf(next));
    await Promise.all(begun.map((generation) => this.#begin(generation)));
    await Promise.all(moves.map((moved) => this.#options.ports.follow(moved.key, moved.next)));
  }

  /** Where other Workers find a script from now on: a process that objects are handed over to later. */
  async #found(next: LiveScript | null): Promise<LinkTarget | null> {
    if (next === null) return null;
    const generation = mainGeneration(next);
    if (!generation.keepsObjects || generation.hasBegun) return generation;
    const begun = Promise.withResolvers<void>();
    try {
      const room = await WaitingRoom.open(this.#options.run, generation, begun.promise);
      this.#rooms.set(generation, { room, leave: begun.resolve });
      return room;
    } catch (error) {
      this.#options.log.error({ error }, "calls of a Worker do not wait for its objects");
      return generation;
    }
  }

  async #begin(generation: Generation): Promise<void> {
    await generation.begin();
    const waited = this.#rooms.get(generation);
    if (waited === undefined) return;
    this.#rooms.delete(generation);
    waited.leave();
    await this.#turn.run(async () => {
      const live = this.get(generation.version);
      if (live === undefined || mainGeneration(live) !== generation) return;
      await this.#options.links.move(live.key, generation);
    });
    void waited.room.close().catch(() => {});
  }

  /** Has the process that listens at this socket just ended? */
  async howEnded(socket: string): Promise<HowEnded> {
    for (const generation of this.generations()) {
      const answer = generation.howEnded(socket);
      if (answer !== null) return answer;
    }
    return "ended";
  }

  /** Stops generations at once, with what they work on, those that drain too. */
  async cut(chosen: (generation: Generation) => boolean): Promise<void> {
    const generations = this.generations().filter(chosen);
    await Promise.all(generations.map((generation) => generation.stop(0)));
  }

  /** Stops everything; the ingress has stopped before. */
  async stop(grace: number): Promise<void> {
    this.#stopping.abort();
    await Promise.all(this.generations().map((generation) => generation.stop(grace)));
  }

  /** Grows the wave until nobody outside depends on a process that goes. */
  async #addDependents(wave: Map<string, Move>): Promise<void> {
    const failed = new Set<string>();
    for (;;) {
      const gone = new Set(
        [...wave].filter(([id, { next }]) => this.#leaves(id, next)).map(([id]) => id),
      );
      const added = [...this.#live].filter(
        ([id, live]) =>
          !wave.has(id) &&
          !failed.has(id) &&
          (binds(live, gone) || mainGeneration(live).isIncomplete),
      );
      if (added.length === 0) return;
      await Promise.all(
        added.map(async ([id, live]) => {
          const next = await this.#renew(live);
          if (next === null) failed.add(id);
          else wave.set(id, { key: live.key, next });
        }),
      );
    }
  }

  /** Does the script's main generation go? */
  #leaves(id: string, next: LiveScript | null): boolean {
    const before = this.#live.get(id);
    if (before === undefined) return false;
    return next === null || mainGeneration(before) !== mainGeneration(next);
  }

  /** The same versions in new processes. Null: they do not start, so the old ones have to stay. */
  async #renew(live: LiveScript): Promise<LiveScript | null> {
    const shares = await Promise.all(
      live.shares.map(async ({ generation, percentage }) => ({
        generation: await generation.successor(),
        percentage,
        // What calls nobody now needs no process for what it will call.
        isIdle: generation.isIdle,
      })),
    );
    const started = await Promise.allSettled(
      shares.map(async ({ generation, isIdle }) => {
        if (isIdle) generation.lieDown();
        else await generation.start();
      }),
    );
    const failure = started.find((result) => result.status === "rejected");
    if (failure === undefined) return { ...live, shares };
    await Promise.all(shares.map(({ generation }) => generation.stop(0)));
    this.#options.log.error(
      { script: live.key.scriptName, reason: String(failure.reason) },
      "a Worker whose service was deployed cannot be started again beside itself; it goes on as it is",
    );
    return null;
  }

  /**
   * On SIGTERM workerd ends after its last request, and does not wait for `waitUntil()` tasks. It
   * does not tell how many there are, so they get their time before: counted from the last request,
   * and cut short for the oldest where many generations of one script drain.
   */
  async #drain(generation: Generation): Promise<void> {
    const { ingress, log } = this.#options;
    // The next one waits for its objects, and requests for the next one.
    const most = generation.keepsObjects ? HANDOVER : { drain: Infinity, waitUntil: Infinity };
    const drain = Math.min(this.#options.drain, most.drain);
    const waitUntil = Math.min(this.#options.waitUntil, most.waitUntil);
    const enough = new AbortController();
    this.#draining.set(generation, enough);
    generation.retire();
    this.#endOldest(generation);
    const { signal } = this.#stopping;
    const pause = (ms: number, cut = signal): Promise<void> =>
      delay(ms, undefined, { signal: cut, ref: false });
    try {
      const retired = Promise.all(generation.sockets.map((socket) => ingress.retire(socket)));
      const idle = await Promise.race([retired, pause(drain)]);
      const idleFor = idle === undefined || this.#isService(generation) ? 0 : Math.min(...idle);
      const cut = AbortSignal.any([signal, enough.signal]);
      await pause(Math.max(waitUntil - idleFor, 0), cut).catch(() => signal.throwIfAborted());
      await generation.stop(generation.keepsObjects ? HANDOVER.stop : drain);
    } catch (error) {
      if (!signal.aborted) log.error({ error }, "a generation was not drained");
    }
    this.#draining.delete(generation);
  }

  /** Other Workers may have called it: the ingress does not know of that. */
  #isService(generation: Generation): boolean {
    const id = new Set([scriptId(generation.version)]);
    return this.generations().some((other) => generationBinds(other, id));
  }

  #endOldest({ version }: Generation): void {
    const id = scriptId(version);
    const same = [...this.#draining].filter(([other]) => scriptId(other.version) === id);
    for (const [, enough] of same.slice(0, -MOST_DRAINING)) enough.abort();
  }
}

/** ms: how long a process that keeps objects goes on while the next one waits for them */
const HANDOVER = { drain: 5_000, waitUntil: 500, stop: 1_000 };

/** Generations of one script that wait for `waitUntil()` tasks. What is in flight always ends first. */
const MOST_DRAINING = 4;

export type AnnouncedScript = ScriptKey & Pick<LiveScript, "hosts" | "routes">;

interface Move {
  readonly key: ScriptKey;
  readonly next: LiveScript | null;
}
