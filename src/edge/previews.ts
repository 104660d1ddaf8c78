import { setTimeout as delay } from "node:timers/promises";
import type { Logger } from "pino";
import type { PreviewKey, Source, VersionPreview } from "../contract/change-feed.ts";
import { keyIn } from "../contract/key-in.ts";
import type { FailureCode } from "../failures/failures.ts";
import type { IngressHandle } from "../ingress/handle.ts";
import type { HowEnded } from "../ingress/protocol.ts";
import { Generation } from "./generation/generation.ts";
import type { GenerationContext } from "./generation/generation-context.ts";
import type { RunnableVersion } from "./in-process.ts";

export interface PreviewShares {
  /** That run at once, those that are being started or stopped among them. */
  readonly account: number;
  readonly all: number;
  /** ms without a request after which one is stopped; at least `waitUntil` */
  readonly idleAfter: number;
}

export const previewShares: PreviewShares = { account: 4, all: 16, idleAfter: 60_000 };

export interface PreviewsOptions {
  readonly source: Pick<Source, "deployment" | "preview">;
  readonly context: GenerationContext;
  readonly ingress: Pick<IngressHandle, "scripts" | "retire" | "idleFor">;
  readonly shares: PreviewShares;
  /** ms that one which is stopped may go on with its requests */
  readonly drain: number;
  /** ms that its `waitUntil()` tasks have after that */
  readonly waitUntil: number;
  /** With what it presents now, and whether it tells of its calls. */
  prepare(this: void, version: NonNullable<Preview>): Promise<RunnableVersion>;
  readonly log: Logger;
}

type Preview = Awaited<ReturnType<Source["preview"]>>;

/**
 * Versions at hosts of their own (previews). A request starts a version, and after a while without
 * requests it is stopped. Other Workers and events never reach it.
 */
export class Previews {
  readonly #options: PreviewsOptions;
  readonly #running = new Map<string, Running>();
  /** Without a route, until what they work on has ended. */
  readonly #leaving = new Set<Running>();
  readonly #stopping = new AbortController();

  constructor(options: PreviewsOptions) {
    this.#options = options;
    void this.#watch();
  }

  /** Null: it runs, and its hosts lead to it. Once, however many ask for it. */
  async start(key: PreviewKey): Promise<FailureCode | null> {
    const id = idOf(key);
    const known = this.#running.get(id);
    if (known !== undefined) return known.started;
    if (this.#stopping.signal.aborted) return "worker_unavailable";
    const one = new Running(key);
    this.#running.set(id, one);
    one.started = this.#start(one);
    return one.started;
  }

  generations(): readonly Generation[] {
    return this.#all().flatMap(({ generation }) => generation ?? []);
  }

  /** Null: it is none of theirs that listens there. */
  async howEnded(socket: string): Promise<HowEnded | null> {
    for (const generation of this.generations()) {
      const answer = await generation.howEnded(socket);
      if (answer !== null) return answer;
    }
    return null;
  }

  /** They get no request any more on return. The next one starts them anew, as they are by then. */
  async leave(isMeant: (generation: Generation) => boolean): Promise<void> {
    const meant = [...this.#running.values()].filter((one) => {
      // One that is being made may have read what is no longer so.
      if (one.generation === null) one.isStale = true;
      return one.generation !== null && isMeant(one.generation);
    });
    await Promise.all(meant.map((one) => this.#leave(one)));
  }

  async stop(grace: number): Promise<void> {
    this.#stopping.abort();
    await Promise.all(this.#all().map(({ started }) => started));
    await Promise.all(this.generations().map((generation) => generation.stop(grace)));
  }

  async #start(one: Running): Promise<FailureCode | null> {
    const { source, context, prepare, log } = this.#options;
    const { accountId: account, scriptName: script, versionId: version } = one.key;
    try {
      if (!(await this.#makeRoom(one))) return this.#forget(one, "previews_exhausted");
      for (;;) {
        one.isStale = false;
        const wanted = await source.preview(one.key, version);
        const hosts = await this.#hostsOf(one.key);
        if (wanted === null || hosts === null) return this.#forget(one, "host_unknown");
        const generation = await Generation.create(context, await prepare(wanted));
        try {
          await generation.start();
        } catch (error) {
          await generation.stop(0);
          throw error;
        }
        if (!one.isStale && !this.#stopping.signal.aborted) {
          // It may have taken long to start. From here on it is looked at, and its first request is on its way.
          generation.usedAt = performance.now();
          one.generation = generation;
          await this.#route(one, hosts.hosts);
          await generation.begin();
          return null;
        }
        await generation.stop(0);
        if (this.#stopping.signal.aborted) return this.#forget(one, "worker_unavailable");
      }
    } catch (error) {
      log.error({ account, script, version, error }, "a preview of a version does not start");
      // A request soon after a failure gets the same failure, so that not every request tries to
      // start the version.
      void delay(FAILED_FOR, null, { signal: this.#stopping.signal, ref: false })
        .catch(() => {})
        .then(() => this.#forget(one, "worker_unavailable"));
      return "worker_unavailable";
    }
  }

  async #hostsOf(key: PreviewKey): Promise<VersionPreview | null> {
    const deployment = await this.#options.source.deployment(key);
    const found = deployment?.previews?.find(({ versionId }) => versionId === key.versionId);
    return found ?? null;
  }

  async #route(one: Running, hosts: readonly string[]): Promise<void> {
    const { accountId, scriptName, versionId } = one.key;
    const { sockets, version } = one.generation!;
    const isTraced = (version.traced ?? null) !== null;
    const targets = [{ sockets, percentage: 100, versionId, isTraced }];
    const entry = { scriptName, hosts, routes: [], targets };
    await this.#options.ingress.scripts([{ accountId, scriptName: nameOf(one.key), entry }]);
  }

  /** Of those that have nothing to do, the one that has had nothing for the longest goes first. */
  async #makeRoom(one: Running): Promise<boolean> {
    const { account, all } = this.#options.shares;
    const others = this.#all().filter((other) => other !== one);
    const same = others.filter(({ key }) => key.accountId === one.key.accountId);
    const crowd = same.length >= account ? same : others.length >= all ? others : null;
    if (crowd === null) return true;
    const idle = await this.#idleFor(crowd.filter((other) => this.#isRouted(other)));
    const [longest] = idle.toSorted((a, b) => b.ms - a.ms);
    // What its `waitUntil()` tasks may still do is not cut short.
    const least = Math.max(this.#options.waitUntil, 1);
    if (longest === undefined || longest.ms < least) return false;
    if (!this.#isRouted(longest.one)) return false;
    await this.#leave(longest.one);
    return true;
  }

  async #watch(): Promise<void> {
    const { signal } = this.#stopping;
    const after = Math.max(this.#options.shares.idleAfter, this.#options.waitUntil);
    const pause = Math.min(Math.max(after / 10, 50), 5_000);
    while (!signal.aborted) {
      await delay(pause, null, { signal, ref: false }).catch(() => {});
      if (signal.aborted || this.#running.size === 0) continue;
      try {
        const routed = [...this.#running.values()].filter((one) => this.#isRouted(one));
        const ripe = (await this.#idleFor(routed)).filter(({ ms }) => ms >= after);
        await Promise.all(ripe.map(({ one }) => this.#leave(one)));
      } catch (error) {
        if (!signal.aborted)
          this.#options.log.error({ error }, "idle previews were not looked for");
      }
    }
  }

  async #idleFor(all: readonly Running[]): Promise<{ one: Running; ms: number }[]> {
    return Promise.all(
      all.map(async (one) => {
        const read = await this.#options.ingress.idleFor(one.generation!.sockets);
        const since = performance.now() - one.generation!.usedAt;
        return { one, ms: Math.min(...read.map((ms) => ms ?? since)) };
      }),
    );
  }

  #isRouted(one: Running): boolean {
    return one.generation !== null && this.#running.get(idOf(one.key)) === one;
  }

  async #leave(one: Running): Promise<void> {
    if (!this.#isRouted(one)) return;
    this.#running.delete(idOf(one.key));
    this.#leaving.add(one);
    const { accountId } = one.key;
    await this.#options.ingress.scripts([{ accountId, scriptName: nameOf(one.key), entry: null }]);
    void this.#end(one);
  }

  /** As a generation drains that was replaced: its requests, then its `waitUntil()` tasks. */
  async #end(one: Running): Promise<void> {
    const { ingress, drain, waitUntil, log } = this.#options;
    const generation = one.generation!;
    const { signal } = this.#stopping;
    const pause = (ms: number): Promise<void> => delay(ms, undefined, { signal, ref: false });
    generation.retire();
    try {
      const retired = Promise.all(generation.sockets.map((socket) => ingress.retire(socket)));
      const idle = await Promise.race([retired, pause(drain)]);
      const idleFor = idle === undefined ? 0 : Math.min(...idle);
      await pause(Math.max(waitUntil - idleFor, 0));
      await generation.stop(drain);
    } catch (error) {
      if (!signal.aborted) log.error({ error }, "a preview was not drained");
    }
    if (!signal.aborted) this.#leaving.delete(one);
  }

  #forget(one: Running, code: FailureCode): FailureCode {
    const id = idOf(one.key);
    if (this.#running.get(id) === one) this.#running.delete(id);
    return code;
  }

  #all(): readonly Running[] {
    return [...this.#running.values(), ...this.#leaving];
  }
}

class Running {
  readonly key: PreviewKey;
  started: Promise<FailureCode | null> = Promise.resolve(null);
  /** Null: it is being made, or could not be. */
  generation: Generation | null = null;
  isStale = false;

  constructor(key: PreviewKey) {
    this.key = key;
  }
}

function idOf({ accountId, scriptName, versionId }: PreviewKey): string {
  return keyIn(accountId, `${scriptName} ${versionId}`);
}

/** At the ingress, where no script has such a name. */
function nameOf({ scriptName, versionId }: PreviewKey): string {
  return `${scriptName} ${versionId}`;
}

/** ms */
const FAILED_FOR = 5_000;
