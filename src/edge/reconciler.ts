import { setTimeout as delay } from "node:timers/promises";
import type { Logger } from "pino";
import { Failure } from "../failures.ts";
import type { GatewayHandle } from "../gateway/handle.ts";
import { Backoff } from "./backoff.ts";
import type { Changed } from "./feed.ts";
import { Generation } from "./generation.ts";
import type { GenerationContext } from "./launcher.ts";
import { generationsOf, type LiveScript } from "./live.ts";
import type { Routes } from "./routes.ts";
import type { Deployment, ScriptKey, Source, WorkerVersion } from "./source.ts";
import { Staging } from "./staging.ts";

export interface ReconcilerOptions {
  readonly source: Source;
  readonly context: GenerationContext;
  readonly routes: Routes;
  readonly gateway: Pick<GatewayHandle, "setCertificate" | "removeCertificate" | "setTrust">;
  readonly log: Logger;
}

/** Makes what runs on this machine what the control plane says should run. */
export class Reconciler {
  readonly #options: ReconcilerOptions;
  readonly #staging: Staging;
  /** Routed before they run, as nothing ran for their script. */
  readonly #starting = new Set<Generation>();
  /** The last task of each object: what concerns the same one happens in order. */
  readonly #tails = new Map<string, Promise<void>>();
  readonly #stopping = new AbortController();

  constructor(options: ReconcilerOptions) {
    this.#options = options;
    this.#staging = new Staging(options.context);
  }

  /** Generations without a route. */
  staged(): readonly Generation[] {
    return this.#staging.generations();
  }

  /** @throws Failure `worker_start_failed`, `worker_start_timeout` */
  async stage(version: WorkerVersion): Promise<void> {
    const live = this.#options.routes.get(version);
    if (running(live, version.versionId) === undefined) await this.#staging.start(version);
  }

  discard(versionId: string): Promise<void> {
    return this.#staging.discard(versionId);
  }

  /**
   * Resolves when the state of one object is in force, or was refused and will be tried again.
   * Never rejects. Changes of the same object are put in force in order, others side by side.
   */
  apply(change: Changed): Promise<void> {
    return this.#enqueue(change, new Backoff());
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await Promise.all([...this.#starting].map((generation) => generation.stop(0)));
    await this.#staging.stop();
    await Promise.all(this.#tails.values());
  }

  async #enqueue(change: Changed, backoff: Backoff): Promise<void> {
    const { kind, ...key } = change;
    const id = JSON.stringify([kind, ...Object.values(key)]);
    const task = this.#after(this.#tails.get(id), change, backoff);
    this.#tails.set(id, task);
    await task;
    if (this.#tails.get(id) === task) this.#tails.delete(id);
  }

  async #after(
    before: Promise<void> | undefined,
    change: Changed,
    backoff: Backoff,
  ): Promise<void> {
    await before;
    if (this.#stopping.signal.aborted) return;
    try {
      await this.#apply(change);
    } catch (error) {
      if (this.#stopping.signal.aborted) return;
      const reason = error instanceof Error ? error.message : String(error);
      this.#options.log.error({ ...change, reason, error }, "a change is not in force");
      // A certificate that was refused is refused again; a Worker may have met a full machine.
      if (change.kind === "script" || !(error instanceof Failure))
        void this.#later(change, backoff);
    }
  }

  async #later(change: Changed, backoff: Backoff): Promise<void> {
    const { signal } = this.#stopping;
    const options = { signal, ref: false };
    await delay(backoff.next(0), null, options).catch(() => {});
    if (!signal.aborted) await this.#enqueue(change, backoff);
  }

  async #apply(change: Changed): Promise<void> {
    const { source, gateway } = this.#options;
    switch (change.kind) {
      case "trust":
        await gateway.setTrust(change.accountId, await source.trust(change.accountId));
        return;
      case "certificate": {
        const { accountId, certificateId } = change;
        const certificate = await source.certificate(accountId, certificateId);
        if (certificate === null) await gateway.removeCertificate(accountId, certificateId);
        else await gateway.setCertificate(certificate);
        return;
      }
      case "script":
        await this.#applyScript(change);
    }
  }

  async #applyScript({ accountId, scriptName }: ScriptKey): Promise<void> {
    const key = { accountId, scriptName };
    const { source, routes } = this.#options;
    const deployment = await source.deployment(key);
    if (deployment === null) {
      if (routes.get(key) !== undefined) await routes.move(key, () => null);
    } else if (routes.get(key) === undefined) {
      await this.#begin(deployment);
    } else {
      await this.#replace(deployment);
    }
  }

  /** Nothing runs yet: hosts are known from now on, and a Worker that does not start is tried for ever. */
  async #begin(deployment: Deployment): Promise<void> {
    const ready = new Map<string, Generation>();
    const fresh: Generation[] = [];
    for (const { version } of deployment.versions) {
      const staged = await this.#staging.find(version.versionId);
      const generation = staged ?? (await Generation.create(this.#options.context, version));
      ready.set(version.versionId, generation);
      if (staged === null) fresh.push(generation);
    }
    for (const generation of fresh) this.#starting.add(generation);
    await this.#move(deployment, ready);
    await Promise.all(fresh.map((generation) => generation.startOrRetry()));
    for (const generation of fresh) this.#starting.delete(generation);
  }

  /** @throws Failure if a version does not start: what runs is not replaced by what does not */
  async #replace(deployment: Deployment): Promise<void> {
    const live = this.#options.routes.get(deployment);
    const fresh = deployment.versions
      .map(({ version }) => version)
      .filter(({ versionId }) => running(live, versionId) === undefined);
    const results = await Promise.allSettled(fresh.map((version) => this.#staging.start(version)));
    const failed = results.find((result) => result.status === "rejected");
    if (failed !== undefined) {
      await Promise.all(fresh.map(({ versionId }) => this.#staging.discard(versionId)));
      throw failed.reason;
    }
    const started = await Promise.all(fresh.map((version) => this.#staging.start(version)));
    await this.#move(
      deployment,
      new Map(started.map((generation) => [generation.version.versionId, generation])),
    );
  }

  async #move(deployment: Deployment, ready: ReadonlyMap<string, Generation>): Promise<void> {
    const { accountId, scriptName, hosts, routes, versions } = deployment;
    const key = { accountId, scriptName };
    await this.#options.routes.move(key, (live) => ({
      key,
      hosts,
      routes,
      shares: versions.map(({ version: { versionId }, percentage }) => ({
        generation: running(live, versionId) ?? ready.get(versionId)!,
        percentage,
      })),
    }));
    for (const versionId of ready.keys()) this.#staging.release(versionId);
  }
}

function running(live: LiveScript | undefined, versionId: string): Generation | undefined {
  return generationsOf(live).find(({ version }) => version.versionId === versionId);
}
