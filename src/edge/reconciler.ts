import type { Logger } from "pino";
import type { GatewayHandle } from "../gateway/handle.ts";
import type { Changed } from "./feed.ts";
import { Generation, type GenerationContext } from "./generation.ts";
import { generationsOf, type LiveScript } from "./live.ts";
import type { Routes } from "./routes.ts";
import type { Deployment, ScriptKey, Source, WorkerVersion } from "./source.ts";

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
  /** Versions that run without a route, by id. */
  readonly #staged = new Map<string, Promise<Generation>>();
  readonly #warm = new Set<Generation>();
  /** The last task of each object: what concerns the same one happens in order. */
  readonly #tails = new Map<string, Promise<void>>();

  constructor(options: ReconcilerOptions) {
    this.#options = options;
  }

  staged(): readonly Generation[] {
    return [...this.#warm];
  }

  /** @throws Failure `worker_start_failed`, `worker_start_timeout` */
  async stage(version: WorkerVersion): Promise<void> {
    const { versionId } = version;
    if (running(this.#options.routes.get(version), versionId) !== undefined) return;
    let staging = this.#staged.get(versionId);
    if (staging === undefined) {
      staging = this.#start(version);
      this.#staged.set(versionId, staging);
      staging.catch(() => this.#staged.delete(versionId));
    }
    await staging;
  }

  async discard(versionId: string): Promise<void> {
    const staging = this.#staged.get(versionId);
    this.#staged.delete(versionId);
    const generation = await staging?.catch(() => null);
    if (generation === undefined || generation === null) return;
    this.#warm.delete(generation);
    await generation.stop(0);
  }

  /** Never rejects. Changes of one object are put in force in order, others side by side. */
  apply(change: Changed): Promise<void> {
    const { kind, ...key } = change;
    const id = JSON.stringify([kind, ...Object.values(key)]);
    const task = this.#after(this.#tails.get(id), change);
    this.#tails.set(id, task);
    return task.finally(() => {
      if (this.#tails.get(id) === task) this.#tails.delete(id);
    });
  }

  async #after(before: Promise<void> | undefined, change: Changed): Promise<void> {
    await before;
    try {
      await this.#apply(change);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      this.#options.log.error({ ...change, reason, error }, "a change is not in force");
    }
  }

  async stop(): Promise<void> {
    await Promise.all(this.#tails.values());
    await Promise.all([...this.#staged.keys()].map((versionId) => this.discard(versionId)));
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
      return;
    }
    const { hosts, routes: patterns, versions } = deployment;
    const ready = await this.#ready(deployment);
    await routes.move(key, (live) => ({
      key,
      hosts,
      routes: patterns,
      shares: versions.map(({ version: { versionId }, percentage }) => ({
        generation: running(live, versionId) ?? ready.get(versionId)!,
        percentage,
      })),
    }));
    for (const [versionId, generation] of ready) {
      this.#staged.delete(versionId);
      this.#warm.delete(generation);
    }
  }

  /** A generation for each version that does not run yet. */
  async #ready({ versions, ...key }: Deployment): Promise<ReadonlyMap<string, Generation>> {
    const live = this.#options.routes.get(key);
    const fresh = versions
      .map(({ version }) => version)
      .filter(({ versionId }) => running(live, versionId) === undefined);
    const started = await Promise.allSettled(
      fresh.map(async (version): Promise<[string, Generation]> => {
        const { versionId } = version;
        const staged = await this.#staged.get(versionId)?.catch(() => null);
        if (staged !== undefined && staged !== null) return [versionId, staged];
        // What runs is not replaced by what does not. With nothing to lose, it is tried for ever.
        if (live === undefined) return [versionId, await this.#startOrRetry(version)];
        await this.stage(version);
        return [versionId, await this.#staged.get(versionId)!];
      }),
    );
    const failure = started.find((result) => result.status === "rejected");
    if (failure !== undefined) {
      await Promise.all(fresh.map(({ versionId }) => this.discard(versionId)));
      throw failure.reason;
    }
    return new Map(
      started.flatMap((result) => (result.status === "fulfilled" ? [result.value] : [])),
    );
  }

  async #start(version: WorkerVersion): Promise<Generation> {
    const generation = await Generation.create(this.#options.context, version);
    await generation.start();
    this.#warm.add(generation);
    return generation;
  }

  async #startOrRetry(version: WorkerVersion): Promise<Generation> {
    const generation = await Generation.create(this.#options.context, version);
    await generation.startOrRetry();
    return generation;
  }
}

function running(live: LiveScript | undefined, versionId: string): Generation | undefined {
  return generationsOf(live).find(({ version }) => version.versionId === versionId);
}
