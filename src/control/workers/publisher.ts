import { applyChange } from "../api/apply-change.ts";
import { keyIn } from "../../contract/key-in.ts";
import { assertEmbedded } from "./scripts/service-worker.ts";
import { type Draft, assertAssets, doesNothing } from "./scripts/draft.ts";
import { type By, existingVersion, scriptNotFound } from "./lookup.ts";
import { randomUUID } from "node:crypto";
import type { ScriptKey, WorkerBinding } from "../../contract/change-feed.ts";
import {
  type StoredDeployment,
  type VersionShare,
  insertDeployment,
} from "../../store/workers/deployments.ts";
import { inProcessBindings, withModes } from "../../store/workers/binding-modes.ts";
import { Failure } from "../../failures/failures.ts";
import type { ScriptRow } from "../../store/schema.ts";
import { hasPreviews } from "../../store/workers/previews.ts";
import { findScript, updateScript } from "../../store/workers/scripts.ts";
import {
  type StoredVersion,
  findVersion,
  insertVersion,
  limitsOf,
  pruneVersions,
  workerVersion,
} from "../../store/workers/versions.ts";
import { type BindingOwner, freshBindings } from "./carried-bindings.ts";
import { assertTargets, refuseTargets } from "./binding-targets.ts";
import { bindersOfMoved, placed } from "./remote-classes.ts";
import { withKeepers } from "../../store/workers/remote-objects.ts";
import { assertShares } from "./binding-shares.ts";
import type { ControlContext } from "../api/context.ts";
import {
  planWorkflows,
  storeWorkflows,
  workflowsFor,
  type WorkflowsPlan,
} from "./workflows/plan.ts";
import { workflowsAsRun } from "../../store/workers/workflows.ts";
import { assertObjects, planObjects, refuseUnconfigured } from "./migrations.ts";
import type { ObjectsPlan } from "./migrations.ts";
import { removeDeletedObjects, storeObjects } from "./objects.ts";
import { objectsOf } from "../../store/workers/object-namespaces.ts";
import { KeyedLock } from "./keyed-lock.ts";
import { assertSameSecrets } from "./rollback-secrets.ts";
import { assertMayTakeKeys } from "./in-process.ts";
import { assetsOf } from "../../store/workers/assets.ts";
import { eventsOf } from "../../store/workers/schedules.ts";
import { Refusals } from "./refusals.ts";
import { tellEnvironment, withSettings } from "./scripts/script-settings.ts";
import { StagedVersions } from "./staged-versions.ts";
import { deployed, isRollback, namedBinding, newDeployment } from "./deployment-records.ts";
import { observabilityOf } from "../../store/workers/observability.ts";
import { type Before, makeScript, readBefore } from "./before.ts";

export interface PublishOptions extends By {
  /** Deploys the new version to all traffic. False: the version is only stored. */
  readonly deploy: boolean;
  /** Makes the script if it does not exist. False: a missing script is refused. */
  readonly create: boolean;
  readonly build: (before: Before, owner: BindingOwner) => Promise<Draft> | Draft;
  readonly tag?: string;
}

export interface Published {
  readonly script: ScriptRow;
  readonly version: StoredVersion;
}

/** A version that runs beside the others, and is not stored yet. */
interface StagedDraft {
  readonly before: Before;
  readonly owner: BindingOwner;
  readonly draft: Draft;
  readonly objects: ObjectsPlan;
  readonly workflows: WorkflowsPlan;
  /** With the modes of the script's bindings applied. */
  readonly bindings: readonly WorkerBinding[];
  readonly startupTimeMs: number;
}

/** As on Cloudflare, where a rollback reaches the last hundred. Deployed versions are kept in any case. */
const KEPT_VERSIONS = 100;

/**
 * The only way to change what a script runs: the new version is started beside the running one, stored with its
 * deployment in one transaction, and the call waits until it is live. Changes of one script run one after the other. If
 * anything fails, nothing is changed.
 */
export class Publisher {
  readonly #context: ControlContext;
  readonly #lock = new KeyedLock();
  readonly #staged: StagedVersions;

  constructor(context: ControlContext) {
    this.#context = context;
    this.#staged = new StagedVersions(context);
  }

  /**
   * @throws Failure `script_not_found` without `create`, whatever `build` throws, and the edge's failure if the version
   * does not start
   */
  publish(key: ScriptKey, options: PublishOptions): Promise<Published> {
    return this.exclusively(key, async () => {
      const { keyring } = this.#context;
      const staged = await this.#stage(key, options);
      const { before, owner, draft, bindings, objects, workflows, startupTimeMs } = staged;
      const { versionId, timestamp: createdOn } = owner;
      const { annotations, settings, scriptSettings = {}, ...rest } = draft;
      const { refusals: _, migrations, ...runs } = rest;
      const value = await this.#staged.orDiscard([versionId], () => {
        // Checked after the start, because an exception at the start says more.
        if (doesNothing(settings)) throw new Failure("no_handlers");
        return applyChange(this.#context, async ({ db, changed }) => {
          await assertTargets(db, key, bindings);
          const script = before.script ?? (await makeScript(db, key, createdOn));
          const version = await insertVersion(db, {
            ...runs,
            id: versionId,
            scriptId: script.id,
            bindings: freshBindings(keyring, owner, draft.bindings),
            compatibilityFlags: draft.compatibilityFlags,
            annotations,
            settings,
            author: options.author,
            source: options.source,
            startupTimeMs,
            createdOn,
          });
          const kept = { settings: withSettings(script, scriptSettings) };
          await updateScript(db, script.id, { ...kept, modifiedOn: createdOn });
          await tellEnvironment({ changed }, key, script, kept);
          if (migrations !== undefined) {
            await storeObjects(db, script.id, objects);
            const binders = await bindersOfMoved(db, key.accountId, objects);
            for (const scriptName of [...objects.from, ...binders]) {
              await changed({ kind: "script", accountId: key.accountId, scriptName });
            }
          }
          if (options.deploy) {
            await storeWorkflows(db, script.id, workflows);
            await insertDeployment(db, {
              ...newDeployment(script.id, options, createdOn, annotations),
              versions: [{ versionId, percentage: 100 }],
            });
            await changed({ kind: "script", ...key });
          } else if (await hasPreviews(db, script)) {
            // A version that is not deployed has a preview host, so the edge has to know it.
            await changed({ kind: "script", ...key });
          }
          await pruneVersions(db, script.id, KEPT_VERSIONS);
          return {
            // As it is now: what the upload says of the script is shown in its answer.
            value: { script: (await findScript(db, key)) ?? script, version },
            audit: {
              by: options.actor,
              action: options.deploy ? "deployment.create" : "version.create",
              accountId: key.accountId,
              resource: { type: "script", id: script.id, name: script.name },
              before: deployed(before.current),
              after: {
                version: versionId,
                digest: version.digest,
                bindings: draft.bindings.map(namedBinding),
              },
            },
          };
        });
      });
      if (!options.deploy) this.#staged.keepWarm(versionId);
      if (migrations !== undefined) await removeDeletedObjects(this.#context);
      return value;
    });
  }

  /**
   * Checks whether the version could be published: it is started beside the running one, and not stored.
   * @throws Failure as `publish`
   */
  check(key: ScriptKey, options: PublishOptions): Promise<void> {
    return this.exclusively(key, async () => {
      const { owner, draft } = await this.#stage(key, options);
      await this.#staged.discard(owner.versionId);
      if (doesNothing(draft.settings)) throw new Failure("no_handlers");
    });
  }

  async #stage(key: ScriptKey, options: PublishOptions): Promise<StagedDraft> {
    const { store, edge, clock } = this.#context;
    const before = await readBefore(store.db, key);
    if (!before.script && !options.create) throw scriptNotFound(key.scriptName);
    const versionId = randomUUID();
    const timestamp = clock().toISOString();
    const owner = { ...key, versionId, tag: options.tag ?? "", timestamp };
    const built = await options.build(before, owner);
    const draft = { ...built, bindings: await placed(store.db, key, built.bindings) };
    assertShares(draft.bindings);
    const bound = await withKeepers(store.db, key, draft.bindings);
    const bindings = withModes(bound, await inProcessBindings(store.db, key));
    const { annotations: _, settings, scriptSettings = {}, refusals, ...rest } = draft;
    const { migrations, ...runs } = rest;
    const script = { settings: withSettings(before.script ?? { settings: {} }, scriptSettings) };
    const refused = refusals ?? new Refusals();
    await refuseTargets(store.db, key, { bindings, refusals: refused });
    let objects: ObjectsPlan = { before: [], after: [], from: [], tag: null };
    await refused.tryLater(async () => {
      if (migrations && !options.deploy) throw new Failure("migration_not_deployed");
      const planned = { db: store.db, key, script: before.script, migrations };
      objects = await planObjects({ ...planned, createdOn: timestamp });
      refuseUnconfigured(bindings, objects, refused);
    });
    const named = { script: before.script, bindings, refused, on: timestamp };
    const workflows = await planWorkflows(store.db, key, named);
    await refused.tryLater(() => assertMayTakeKeys(store.db, before, bindings, options));
    refused.try(() => assertAssets(draft));
    refused.try(() => assertEmbedded(draft));
    refused.throw();
    const started = performance.now();
    await edge.stage({
      ...key,
      versionId,
      ...runs,
      ...limitsOf(settings),
      ...observabilityOf(script),
      ...(await assetsOf(store.db, key.accountId, settings)),
      ...(await eventsOf(store.db, before.script)),
      ...objectsOf(objects.after),
      ...workflowsAsRun(workflows),
      bindings,
    });
    const startupTimeMs = Math.round(performance.now() - started);
    return { before, owner, draft, bindings, objects, workflows, startupTimeMs };
  }

  /**
   * Deploys stored versions: rollback, gradual rollout.
   *
   * @throws Failure `script_not_found`, `version_not_found`, and the edge's failure if a version does not start
   */
  deploy(
    key: ScriptKey,
    shares: readonly VersionShare[],
    options: By & {
      readonly annotations: Readonly<Record<string, string>>;
      /** Deploys even if a rollback restores other secrets. */
      readonly force?: boolean;
    },
  ): Promise<StoredDeployment> {
    return this.exclusively(key, async () => {
      const { store, edge, clock } = this.#context;
      const before = await readBefore(store.db, key);
      const { script, current } = before;
      if (!script) throw scriptNotFound(key.scriptName);
      const versions: StoredVersion[] = [];
      const inProcess = await inProcessBindings(store.db, key);
      for (const { versionId } of shares) {
        const version = await existingVersion(store.db, script, versionId);
        const bindings = withModes(version.bindings, inProcess);
        await assertTargets(store.db, key, bindings);
        await assertMayTakeKeys(store.db, before, bindings, options);
        versions.push(version);
      }
      const workflows = await workflowsFor(store.db, key, { script, versions, on: clock() });
      await assertObjects(store.db, script.id, versions, workflows);
      if (!options.force && (await isRollback(store.db, current, versions))) {
        const [running] = current?.versions ?? [];
        const from = running && (await findVersion(store.db, script.id, running.versionId));
        if (from) assertSameSecrets(this.#context.keyring, key, { from, to: versions });
      }
      const staged: string[] = [];
      const value = await this.#staged.orDiscard(staged, async () => {
        for (const version of versions) {
          if (current?.versions.some(({ versionId }) => versionId === version.id)) continue;
          staged.push(version.id);
          if (this.#staged.takeWarm(version.id) && !workflows.isChanged) continue;
          const run = await workerVersion(store.db, script, version);
          await edge.stage({ ...run, ...workflowsAsRun(workflows.plan) });
        }
        return applyChange(this.#context, async ({ db, changed }) => {
          for (const { bindings } of versions) {
            await assertTargets(db, key, withModes(bindings, inProcess));
          }
          await assertObjects(db, script.id, versions, workflows);
          await storeWorkflows(db, script.id, workflows.plan);
          const createdOn = clock().toISOString();
          const rollback = await isRollback(db, current, versions);
          const deployment = await insertDeployment(db, {
            ...newDeployment(script.id, options, createdOn, {
              ...options.annotations,
              ...(rollback && { "workers/triggered_by": "rollback" }),
            }),
            versions: shares,
          });
          await updateScript(db, script.id, { modifiedOn: createdOn });
          await changed({ kind: "script", ...key });
          return {
            value: deployment,
            audit: {
              by: options.actor,
              action: "deployment.create",
              accountId: key.accountId,
              resource: { type: "script", id: script.id, name: script.name },
              before: deployed(current),
              after: deployed(deployment),
            },
          };
        });
      });
      return value;
    });
  }

  /** Runs `work` while no other change of the script runs. */
  exclusively<T>(key: ScriptKey, work: () => Promise<T>): Promise<T> {
    return this.#lock.run(keyIn(key.accountId, key.scriptName), work);
  }
}
