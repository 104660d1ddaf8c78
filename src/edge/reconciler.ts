import { setTimeout as delay } from "node:timers/promises";
import type { Logger } from "pino";
import type { GatewayHandle } from "../contract/gateway.ts";
import type { IngressHandle } from "../ingress/handle.ts";
import { AccessAtIngress } from "./access.ts";
import type { FeedChange } from "./feed.ts";
import type { Generation } from "./generation/generation.ts";
import { bindsDatabase, bindsInProcess, isWithdrawn, type RunnableVersion } from "./in-process.ts";
import type { GenerationContext } from "./generation/generation-context.ts";
import { beforeOrigins, scriptsWith, showsToOrigins } from "./concerned.ts";
import type { AnnouncedScript, Traffic } from "./traffic.ts";
import type { ScriptKey, Source, WorkerVersion } from "../contract/change-feed.ts";
import type { IngressHosts } from "./ingress-hosts.ts";
import type { Origins } from "./origins.ts";
import type { Previews } from "./previews.ts";
import type { WorkerPorts } from "./worker-ports.ts";
import { ChangeQueue } from "./change-queue.ts";
import { ScriptReconciler } from "./script-reconciler.ts";

export interface ReconcilerOptions {
  readonly source: Source;
  readonly context: GenerationContext;
  readonly traffic: Traffic;
  readonly ports: Pick<WorkerPorts, "judge">;
  readonly previews: Pick<Previews, "leave">;
  readonly ingress: Pick<IngressHandle, "access">;
  readonly gateway: Pick<
    GatewayHandle,
    "setCertificate" | "removeCertificate" | "setTrust" | "setDatabase" | "removeDatabase"
  >;
  readonly hosts: IngressHosts;
  readonly origins: Origins;
  readonly log: Logger;
}

/** Makes what runs on this machine what the control plane says should run. */
export class Reconciler {
  readonly #options: ReconcilerOptions;
  readonly #scripts: ScriptReconciler;
  readonly #changes: ChangeQueue;
  readonly #stopping = new AbortController();
  readonly #access: AccessAtIngress;

  constructor(options: ReconcilerOptions) {
    this.#options = options;
    this.#access = new AccessAtIngress({
      ...options,
      keyring: options.context.keyring,
      apply: (change) => this.apply(change),
    });
    this.#scripts = new ScriptReconciler({
      ...options,
      ensureAccess: (accountId) => this.#access.ensure(accountId),
      again: (key) => void this.apply({ kind: "script", ...key }),
    });
    const { signal } = this.#stopping;
    this.#changes = new ChangeQueue({
      apply: (change) => this.#apply(change),
      signal,
      log: options.log,
    });
  }

  /** Generations without a route. */
  staged(): readonly Generation[] {
    return this.#scripts.staged();
  }

  /** @throws Failure `worker_start_failed`, `worker_start_timeout` */
  stage(version: WorkerVersion): Promise<void> {
    return this.#scripts.stage(version);
  }

  /** As it presents itself now, and with its calls told of if somebody reads its log. */
  prepare(version: WorkerVersion): Promise<RunnableVersion> {
    return this.#scripts.prepare(version);
  }

  /** In force on return: a generation of the same version that tells of its calls, or does not. */
  async follow(key: ScriptKey, isFollowed: boolean): Promise<void> {
    if (this.#scripts.follow(key, isFollowed)) await this.apply({ kind: "script", ...key });
  }

  discard(versionId: string): Promise<void> {
    return this.#scripts.discard(versionId);
  }

  /**
   * Resolves when the state of one object is in force, or was refused and will be tried again.
   * Never rejects. Changes of the same object are put in force in order, others side by side.
   */
  apply(change: FeedChange): Promise<void> {
    return this.#changes.add(change);
  }

  /** Their hosts are known from now on, before any of them runs. */
  async announce(scripts: readonly ScriptKey[]): Promise<void> {
    const { source, traffic, log } = this.#options;
    const announced: AnnouncedScript[] = [];
    for (const key of scripts) {
      try {
        const deployment = await source.deployment(key);
        // Without the modules: those of all Workers at once would be too much to hold.
        if (deployment !== null) {
          await this.#access.ensure(key.accountId);
          announced.push({ ...key, hosts: deployment.hosts, routes: deployment.routes });
        }
      } catch (error) {
        log.error({ ...key, error }, "a deployment cannot be read");
      }
    }
    await traffic.announce(announced);
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#scripts.stop();
    await this.#changes.idle();
  }

  async #apply(change: FeedChange): Promise<void> {
    const { source, gateway } = this.#options;
    switch (change.kind) {
      case "trust":
        await gateway.setTrust(change.accountId, await source.trust(change.accountId));
        await this.#renew(change.accountId);
        return;
      case "certificate": {
        const { accountId, certificateId } = change;
        const certificate = await source.certificate(accountId, certificateId);
        try {
          if (certificate === null) {
            if (this.#isShownToOrigins(accountId, certificateId)) void this.#whenUnused(change);
            else await gateway.removeCertificate(accountId, certificateId);
          } else await gateway.setCertificate(certificate);
        } finally {
          await this.#renew(accountId, certificateId);
          await this.#options.traffic.cut((generation) =>
            generation.presents(certificateId, (version) => isWithdrawn(certificate, version)),
          );
        }
        return;
      }
      case "database": {
        const { accountId, databaseId } = change;
        const database = await source.database(accountId, databaseId);
        if (database === null) await gateway.removeDatabase(accountId, databaseId);
        else await gateway.setDatabase(database);
        // What drivers are told of it may be another: those Workers get a new generation.
        await this.#renewWhere(accountId, ({ version }) => bindsDatabase(version, databaseId));
        await this.#options.previews.leave(
          ({ version }) => version.accountId === accountId && bindsDatabase(version, databaseId),
        );
        return;
      }
      case "queues":
        await this.#options.context.storage.queues.apply(
          change.accountId,
          await source.queues(change.accountId),
        );
        return;
      case "access":
        await this.#access.renew(change.accountId);
        await this.#options.ports.judge(change.accountId);
        return;
      case "identity":
        await this.#options.context.identities?.changed(change);
        // Identities are certificates of clients too.
        await this.#options.hosts.apply(change.accountId);
        return;
      case "identities":
        await this.#options.context.identities?.accountChanged(change.accountId);
        await this.#options.hosts.apply(change.accountId);
        return;
      case "hosts":
        await this.#options.hosts.apply(change.accountId);
        // A host behind Access never answers without its policies.
        await this.#access.ensure(change.accountId);
        await this.#options.origins.apply(change.accountId, (certificateId) =>
          this.apply({ kind: "certificate", accountId: change.accountId, certificateId }),
        );
        await this.#renewBeforeOrigins(change.accountId);
        // What they fetch at hosts of their script's routes may go elsewhere now.
        await this.#options.previews.leave(({ version }) => version.accountId === change.accountId);
        await this.#options.ports.judge(change.accountId);
        return;
      case "script":
        try {
          await this.#scripts.apply(change);
        } finally {
          await this.#options.traffic.cut((generation) => generation.presentsExpired(Date.now()));
        }
    }
  }

  /**
   * Workers whose own process presents this certificate, or any, get a new generation if what they
   * present has changed.
   */
  #renew(accountId: string, certificateId?: string): Promise<void> {
    return this.#renewWhere(accountId, ({ version }) => bindsInProcess(version, certificateId));
  }

  /** Workers with routes at hosts that origins answer for, or that did until now. */
  async #renewBeforeOrigins(accountId: string): Promise<void> {
    const { source, traffic } = this.#options;
    const hosts = (await source.origins(accountId)).map(({ host }) => host);
    await this.#applyEach(beforeOrigins(traffic.scripts(), accountId, hosts));
  }

  /** Of the ingress, or of a Worker: what is in flight ends with the certificate it began with. */
  #isShownToOrigins(accountId: string, certificateId: string): boolean {
    const { origins, traffic } = this.#options;
    return (
      origins.presents(accountId, certificateId) ||
      showsToOrigins(traffic.generations(), accountId, certificateId)
    );
  }

  /** A deleted certificate is removed once no request uses it. */
  async #whenUnused(change: FeedChange): Promise<void> {
    const { signal } = this.#stopping;
    await delay(UNUSED_PAUSE, null, { signal, ref: false }).catch(() => {});
    if (!signal.aborted) await this.apply(change);
  }

  #renewWhere(accountId: string, isMeant: (one: Generation) => boolean): Promise<void> {
    return this.#applyEach(scriptsWith(this.#options.traffic.scripts(), accountId, isMeant));
  }

  async #applyEach(scripts: readonly ScriptKey[]): Promise<void> {
    await Promise.all(scripts.map((key) => this.apply({ kind: "script", ...key })));
  }
}

/** ms */
const UNUSED_PAUSE = 1_000;
