import type { Logger } from "pino";
import { Failure } from "../failures.ts";
import type { GatewayHandle } from "../gateway/handle.ts";
import type { Changed } from "./feed.ts";
import { Generation, type GenerationContext } from "./generation.ts";
import { generationsOf, scriptId, type Share } from "./live.ts";
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
    if (this.#running(version, versionId) !== undefined) return;
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
    const before = this.#tails.get(id) ?? Promise.resolve();
    const task = before.then(() => this.#apply(change)).catch((error: unknown) => {
      const reason = error instanceof Error ? error.message : String(error);
      this.#options.log.error({ ...key, reason, error }, `a change of a ${kind} is not in force`);
    });
    this.#tails.set(id, task);
    void task.then(() => {
      if (this.#tails.get(id) === task) this.#tails.delete(id);
    });
    return task;
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
      if (routes.get(key) !== undefined) await routes.move(key, null);
      return;
    }
    const { hosts, routes: patterns } = deployment;
    const shares = await this.#shares(deployment);
    await routes.move(key, { key, hosts, routes: patterns, shares });
    for (const { generation } of shares) this.#deployed(generation);
  }

  async #shares({ versions, ...key }: Deployment): Promise<Share[]> {
    const isFirst = this.#options.routes.get(key) === undefined;
    return Promise.all(
      versions.map(async ({ version, percentage }) => {
        const { versionId } = version;
        const running =
          this.#running(key, versionId) ?? (await this.#staged.get(versionId)?.catch(() => null));
        if (running !== undefined && running !== null) return { generation: running, percentage };
        // What runs is not replaced by what does not. With nothing to lose, it is tried for ever.
        const generation = isFirst ? await this.#startOrRetry(version) : await this.#start(version);
        return { generation, percentage };
      }),
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

  #deployed(generation: Generation): void {
    this.#warm.delete(generation);
    this.#staged.delete(generation.version.versionId);
  }

  #running(key: ScriptKey, versionId: string): Generation | undefined {
    return generationsOf(this.#options.routes.get(key)).find(
      ({ version }) => version.versionId === versionId,
    );
  }
}
