import type { GenerationContext } from "./generation/generation-context.ts";
import { Generation } from "./generation/generation.ts";
import { Alarms } from "./alarms.ts";
import { bindsInProcess, runnable, type RunnableVersion } from "./in-process.ts";
import { generationBinds, scriptId } from "./live.ts";
import type { Traffic } from "./traffic.ts";
import type { ScriptKey, Source, WorkerVersion } from "../contract/change-feed.ts";
import type { Previews } from "./previews.ts";
import { Staging } from "./staging.ts";
import { type WantedDeployment, isSame, running, withPresented } from "./wanted.ts";

export interface ScriptReconcilerOptions {
  readonly source: Source;
  readonly context: GenerationContext;
  readonly traffic: Traffic;
  readonly previews: Pick<Previews, "leave">;
  /** A host behind Access never answers without its policies. */
  ensureAccess(this: void, accountId: string): Promise<void>;
  /** Time has come to look at a script again. */
  again(this: void, key: ScriptKey): void;
}

/** The generations of each script: those that its deployment names get its traffic. */
export class ScriptReconciler {
  readonly #options: ScriptReconcilerOptions;
  readonly #staging: Staging;
  /** Routed before they run, as nothing ran for their script. */
  readonly #starting = new Set<Generation>();
  /** For scripts that present a certificate in their own process: when it begins or ends. */
  readonly #alarms = new Alarms();
  /** Scripts (ids) whose log somebody reads right now. */
  readonly #followed = new Set<string>();

  constructor(options: ScriptReconcilerOptions) {
    this.#options = options;
    this.#staging = new Staging(options.context);
  }

  /** Generations without a route. */
  staged(): readonly Generation[] {
    return this.#staging.generations();
  }

  /** @throws Failure `worker_start_failed`, `worker_start_timeout` */
  async stage(version: WorkerVersion): Promise<void> {
    const { traffic } = this.#options;
    const wanted = await this.prepare(version);
    if (running(traffic.get(version), wanted) === undefined) await this.#staging.start(wanted);
  }

  /** As it presents itself now, and with its calls told of if somebody reads its log. */
  prepare(version: WorkerVersion): Promise<RunnableVersion> {
    return runnable(this.#options.source, version, this.#followed.has(scriptId(version)));
  }

  /** False: it was so before. True: in force after the next `apply`. */
  follow(key: ScriptKey, isFollowed: boolean): boolean {
    const id = scriptId(key);
    if (this.#followed.has(id) === isFollowed) return false;
    if (isFollowed) this.#followed.add(id);
    else this.#followed.delete(id);
    return true;
  }

  discard(versionId: string): Promise<void> {
    return this.#staging.discard(versionId);
  }

  async stop(): Promise<void> {
    this.#alarms.stop();
    await Promise.all([...this.#starting].map((generation) => generation.stop(0)));
    await this.#staging.stop();
  }

  /** Makes what runs for a script what its deployment says. */
  async apply({ accountId, scriptName }: ScriptKey): Promise<void> {
    const { source, traffic } = this.#options;
    const key = { accountId, scriptName };
    await this.#options.ensureAccess(accountId);
    const changed = new Set([scriptId(key)]);
    await this.#options.previews.leave(
      (one) => changed.has(scriptId(one.version)) || generationBinds(one, changed),
    );
    let applied: WantedDeployment | null = null;
    for (;;) {
      const deployment = await source.deployment(key);
      const wanted =
        deployment === null
          ? null
          : await withPresented(source, deployment, this.#followed.has(scriptId(key)));
      if (applied !== null && wanted !== null && isSame(applied, wanted)) return;
      applied = wanted;
      this.#wake(key, wanted);
      if (wanted === null) {
        await traffic.move(key, () => null);
        this.#options.context.identities?.forget(key);
      } else if (traffic.get(key) === undefined) {
        await this.#begin(wanted);
      } else {
        await this.#replace(wanted);
      }
      // A rotation while this script moved did not find it among those that present it: look again.
      if (!wanted?.versions.some(({ version }) => bindsInProcess(version))) return;
    }
  }

  /** Looks at the script again when a certificate that it presents begins or ends. */
  #wake(key: ScriptKey, wanted: WantedDeployment | null): void {
    const times = wanted?.versions.flatMap(({ version }) => version.changesAt ?? []) ?? [];
    this.#alarms.set(scriptId(key), Math.min(...times), () => {
      this.#options.again(key);
    });
  }

  /**
   * Nothing runs yet. The hosts are known from now on, and a Worker that does not start is tried
   * again and again.
   */
  async #begin(deployment: WantedDeployment): Promise<void> {
    await this.#options.traffic.announce([deployment]);
    const ready = new Map<string, Generation>();
    const fresh: Generation[] = [];
    for (const { version } of deployment.versions) {
      const staged = await this.#staging.find(version);
      const generation = staged ?? (await Generation.create(this.#options.context, version));
      ready.set(version.versionId, generation);
      if (staged === null) fresh.push(generation);
    }
    for (const generation of fresh) {
      this.#starting.add(generation);
      // Where Workers are stopped while they are idle, they are so from the beginning.
      generation.lieDown();
    }
    await this.#move(deployment, ready);
    await Promise.all(fresh.map((generation) => generation.startOrRetry()));
    for (const generation of fresh) this.#starting.delete(generation);
  }

  /** @throws Failure if a version does not start: what runs is not replaced by what does not */
  async #replace(deployment: WantedDeployment): Promise<void> {
    const live = this.#options.traffic.get(deployment);
    const fresh = deployment.versions
      .map(({ version }) => version)
      .filter((version) => running(live, version) === undefined);
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

  async #move(deployment: WantedDeployment, ready: ReadonlyMap<string, Generation>): Promise<void> {
    const { accountId, scriptName, hosts, routes, previews = [], versions } = deployment;
    const key = { accountId, scriptName };
    await this.#options.traffic.move(key, (live) => ({
      key,
      hosts,
      routes,
      previews,
      shares: versions.map(({ version, percentage }) => ({
        generation: running(live, version) ?? ready.get(version.versionId)!,
        percentage,
      })),
    }));
    for (const versionId of ready.keys()) this.#staging.release(versionId);
  }
}
