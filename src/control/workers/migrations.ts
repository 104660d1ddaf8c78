import { z } from "@hono/zod-openapi";
import { randomBytes } from "node:crypto";
import type { ScriptKey, WorkerBinding } from "../../contract/change-feed.ts";
import { Failure } from "../../failures/failures.ts";
import type { Database } from "../../store/database.ts";
import { listNamespaces, namespacesOf } from "../../store/workers/object-namespaces.ts";
import type { ObjectNamespaceRow, ScriptRow } from "../../store/schema.ts";
import { currentDeployment } from "../../store/workers/deployments.ts";
import { findScript } from "../../store/workers/scripts.ts";
import { findVersion } from "../../store/workers/versions.ts";
import { Refusals } from "./refusals.ts";

const className = z
  .string()
  .max(255)
  .regex(/^[\p{ID_Start}$_][\p{ID_Continue}$\u200c\u200d]*$/u, "is no name of a class");
const classNames = z.array(className).max(100).nullish();
const sentTag = z.string().max(1024).nullish();

const step = z.strictObject({
  new_classes: classNames,
  new_sqlite_classes: classNames,
  renamed_classes: z
    .array(z.strictObject({ from: className, to: className }))
    .max(100)
    .nullish(),
  deleted_classes: classNames,
  transferred_classes: z
    .array(z.strictObject({ from: className, from_script: z.string().max(255), to: className }))
    .max(100)
    .nullish(),
});

type Names = readonly string[] | null | undefined;

interface Step {
  readonly new_classes?: Names;
  readonly new_sqlite_classes?: Names;
  readonly renamed_classes?: readonly { from: string; to: string }[] | null | undefined;
  readonly deleted_classes?: Names;
  readonly transferred_classes?:
    | readonly { from: string; from_script: string; to: string }[]
    | null
    | undefined;
}

/** As clients send them: one step, or several. */
export type Migrations = Step & {
  readonly old_tag?: string | null | undefined;
  readonly new_tag?: string | null | undefined;
  readonly steps?: readonly Step[] | null | undefined;
};

export const sentMigrations: z.ZodType<Migrations> = step.extend({
  old_tag: sentTag,
  new_tag: sentTag,
  steps: z.array(step).max(100).nullish(),
});

/** The migrations of a project that wrangler would send if `tag` is the last one that was applied. */
export function pendingMigrations(
  all: readonly TaggedMigration[],
  tag: string | null,
): { readonly migrations?: Migrations } {
  const last = all.at(-1);
  if (last === undefined || last.tag === tag) return {};
  const applied = tag === null ? -1 : all.findIndex((one) => one.tag === tag);
  const steps = all.slice(applied + 1).map(untagged);
  return { migrations: { new_tag: last.tag, steps, ...(tag !== null && { old_tag: tag }) } };
}

function untagged({ tag: _tag, ...one }: TaggedMigration): Step {
  return one;
}

export type TaggedMigration = Step & { readonly tag: string };

/** As in a Wrangler configuration. */
export const projectMigrations: z.ZodType<readonly TaggedMigration[]> = z
  .array(step.extend({ tag: z.string().max(1024) }))
  .max(100);

/** The classes that have Durable Objects before and after a deploy. */
export interface ObjectsPlan {
  readonly before: readonly ObjectNamespaceRow[];
  readonly after: readonly ObjectNamespaceRow[];
  /** Scripts that lose classes to this one. */
  readonly from: readonly string[];
  readonly tag: string | null;
}

interface Planned {
  readonly db: Database;
  readonly key: ScriptKey;
  readonly script: ScriptRow | null;
  readonly migrations: Migrations | undefined;
  readonly createdOn: string;
}

/**
 * Computes the result of an upload's migrations. Nothing is stored.
 * @throws Failure `migration_tag_mismatch`, `object_class_exists`, `object_class_unknown`, `object_class_bound`,
 * `object_classes_limited`
 */
export async function planObjects(planned: Planned): Promise<ObjectsPlan> {
  const { db, script, migrations } = planned;
  const before = await namespacesOf(db, script?.id);
  const current = script?.migrationTag ?? null;
  if (migrations === undefined) return { before, after: before, from: [], tag: current };
  const { old_tag: old, new_tag: next, steps, ...single } = migrations;
  if ((next ?? old) != null && (old ?? null) !== current) {
    throw new Failure("migration_tag_mismatch", {
      message: `the last migration of the Worker is ${named(current)}, and the upload's follow ${named(old ?? null)}`,
      facts: { tag: current },
    });
  }
  const change = new Change(planned, before);
  for (const one of steps ?? [single]) await change.apply(one);
  return { before, after: change.classes, from: change.from, tag: next ?? current };
}

/** Refuses bindings of classes that have no Durable Objects. */
export function refuseUnconfigured(
  bindings: readonly WorkerBinding[],
  { after }: Pick<ObjectsPlan, "after">,
  refusals: Refusals,
): void {
  for (const binding of bindings) {
    if (binding.type !== "durable_object_namespace" || binding.remote) continue;
    if (after.some((row) => row.className === binding.className)) continue;
    refusals.add(
      new Failure("object_class_unconfigured", {
        message: `the binding "${binding.name}" names the class "${binding.className}", which keeps no Durable Objects: no migration has made it`,
        facts: { binding: binding.name, class: binding.className },
      }),
    );
  }
}

/**
 * Checks what may be deployed of a script with Durable Objects, which only one process may have.
 * @throws Failure `objects_one_version`, `object_class_unconfigured`
 */
export async function assertObjects(
  db: Database,
  scriptId: string,
  versions: readonly { readonly bindings: readonly WorkerBinding[] }[],
  workflows: { readonly plan: readonly unknown[] },
): Promise<void> {
  const after = await namespacesOf(db, scriptId);
  if (after.length + workflows.plan.length > 0 && versions.length > 1) {
    throw new Failure("objects_one_version");
  }
  const refusals = new Refusals();
  for (const { bindings } of versions) refuseUnconfigured(bindings, { after }, refusals);
  refusals.throw();
}

const MOST_CLASSES = 500;

class Change {
  readonly #planned: Planned;
  #classes: readonly ObjectNamespaceRow[];
  readonly #from = new Set<string>();
  /** How many classes the account's other Workers have. Null: not counted yet. */
  #others: number | null = null;

  constructor(planned: Planned, before: readonly ObjectNamespaceRow[]) {
    this.#planned = planned;
    this.#classes = before;
  }

  get classes(): readonly ObjectNamespaceRow[] {
    return this.#classes;
  }

  get from(): readonly string[] {
    return [...this.#from];
  }

  async apply(one: Step): Promise<void> {
    // Deletions and renames come first, because they free names for new classes.
    for (const name of one.deleted_classes ?? []) this.#take(name);
    const renamed = (one.renamed_classes ?? []).map(({ from, to }) => ({
      ...this.#take(from),
      className: to,
    }));
    for (const row of renamed) this.#add(row);
    for (const { from, from_script: script, to } of one.transferred_classes ?? []) {
      this.#add({ ...(await this.#transferred(script, from)), className: to });
    }
    for (const name of one.new_classes ?? []) await this.#make(name, 0);
    for (const name of one.new_sqlite_classes ?? []) await this.#make(name, 1);
  }

  #take(name: string): ObjectNamespaceRow {
    const row = this.#classes.find((other) => other.className === name);
    if (row === undefined) throw unknown(name, this.#planned.key.scriptName);
    this.#classes = this.#classes.filter((other) => other !== row);
    return row;
  }

  #add(row: ObjectNamespaceRow): void {
    if (this.#classes.some((other) => other.className === row.className)) {
      throw new Failure("object_class_exists", {
        message: `a migration makes the class "${row.className}", which keeps Durable Objects already`,
        facts: { class: row.className },
      });
    }
    this.#classes = [...this.#classes, row];
  }

  async #make(name: string, usesSql: 0 | 1): Promise<void> {
    const { db, key, createdOn } = this.#planned;
    const id = randomBytes(16).toString("hex");
    const { accountId } = key;
    this.#add({ id, accountId, scriptId: null, className: name, usesSql, createdOn });
    this.#others ??= (await listNamespaces(db, accountId)).filter(
      ({ script }) => script !== key.scriptName,
    ).length;
    if (this.#others + this.#classes.length > MOST_CLASSES) {
      throw new Failure("object_classes_limited", { facts: { limit: MOST_CLASSES } });
    }
  }

  async #transferred(scriptName: string, name: string): Promise<ObjectNamespaceRow> {
    const { db, key } = this.#planned;
    const script = await findScript(db, { accountId: key.accountId, scriptName });
    const rows = await namespacesOf(db, script?.id);
    const row = rows.find((other) => other.className === name);
    if (!script || !row || scriptName === key.scriptName) throw unknown(name, scriptName);
    for (const { versionId } of (await currentDeployment(db, script.id))?.versions ?? []) {
      const version = await findVersion(db, script.id, versionId);
      const binding = version?.bindings.find(
        (one) => one.type === "durable_object_namespace" && !one.remote && one.className === name,
      );
      if (!binding) continue;
      throw new Failure("object_class_bound", {
        message: `the Worker "${scriptName}", which the class "${name}" is transferred from, binds it as "${binding.name}"`,
        facts: { script: scriptName, class: name, binding: binding.name },
      });
    }
    this.#from.add(scriptName);
    return row;
  }
}

function named(tagged: string | null): string {
  return tagged === null ? "none" : `"${tagged}"`;
}

function unknown(name: string, scriptName: string): Failure {
  return new Failure("object_class_unknown", {
    message: `a migration names the class "${name}" of the Worker "${scriptName.slice(0, 255)}", which keeps no Durable Objects`,
    facts: { class: name, script: scriptName },
  });
}
