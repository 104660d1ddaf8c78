import { randomBytes } from "node:crypto";
import { isDeepStrictEqual } from "node:util";
import type { ScriptKey, WorkerBinding } from "../../../contract/change-feed.ts";
import { Failure } from "../../../failures/failures.ts";
import type { Database } from "../../../store/database.ts";
import type { WorkflowRow } from "../../../store/schema.ts";
import {
  findWorkflow,
  listWorkflows,
  putWorkflow,
  workflowsOf,
} from "../../../store/workers/workflows.ts";
import { Refusals } from "../refusals.ts";

/** All Workflows of a script after a deploy. */
export type WorkflowsPlan = readonly WorkflowRow[];

interface Planned {
  readonly script: { readonly id: string } | null;
  readonly bindings: readonly WorkerBinding[];
  readonly refused: Refusals;
  /** ISO 8601. */
  readonly on: string;
}

/**
 * Computes a version's Workflows: those that it binds are made; Workflows that it does not bind stay. Nothing is
 * stored. Refused: `workflow_invalid`, `workflow_of_another`, `workflows_limited`.
 */
export async function planWorkflows(
  db: Database,
  key: ScriptKey,
  { script, bindings, refused, on }: Planned,
): Promise<WorkflowsPlan> {
  const rows = new Map((await workflowsOf(db, script?.id)).map((row) => [row.name, row]));
  for (const binding of bindings) {
    if (binding.type !== "workflow") continue;
    const { workflowName: name, className } = binding;
    await refused.tryLater(async () => {
      const row = rows.get(name);
      if (row?.className === className) return;
      await assertFree(db, key, name);
      assertBoundOnce(name, bindings);
      rows.set(name, { ...(row ?? fresh(key, name, on)), className, modifiedOn: on });
    });
  }
  refused.try(() => assertClasses([...rows.values()]));
  await refused.tryLater(() => assertNotMany(db, key, rows.size));
  return [...rows.values()].toSorted((a, b) => (a.name < b.name ? -1 : 1));
}

/** The same for stored versions. @throws Failure as `planWorkflows` refuses */
export async function workflowsFor(
  db: Database,
  key: ScriptKey,
  of: {
    readonly script: { readonly id: string };
    readonly versions: readonly { readonly bindings: readonly WorkerBinding[] }[];
    readonly on: Date;
  },
): Promise<{ readonly plan: WorkflowsPlan; readonly isChanged: boolean }> {
  const refused = new Refusals();
  const bindings = of.versions.flatMap((version) => version.bindings);
  const planned = { script: of.script, bindings, refused, on: of.on.toISOString() };
  const plan = await planWorkflows(db, key, planned);
  refused.throw();
  return { plan, isChanged: !isDeepStrictEqual(plan, await workflowsOf(db, of.script.id)) };
}

/** Stores Workflows that a deploy has made or changed. @throws Failure `workflow_of_another` */
export async function storeWorkflows(
  db: Database,
  scriptId: string,
  plan: WorkflowsPlan,
): Promise<void> {
  const before = await workflowsOf(db, scriptId);
  for (const row of plan) {
    const stored = before.find(({ id }) => id === row.id);
    const wanted = { ...row, scriptId };
    if (stored !== undefined && isDeepStrictEqual(stored, wanted)) continue;
    const other = await findWorkflow(db, row.accountId, row.name);
    // Another deploy may have made a Workflow with this name meanwhile, or this Workflow may have been deleted.
    if (other !== null && other.id !== row.id) throw ofAnother(row.name, other.script);
    await putWorkflow(db, wanted);
  }
}

export function ofAnother(name: string, script: string): Failure {
  return new Failure("workflow_of_another", {
    message: `the Workflow "${name}" belongs to the Worker "${script}"`,
    facts: { workflow: name, script },
  });
}

/**
 * A class can run one Workflow only, because the runtime finds the Workflow by its class. @throws Failure
 * `workflow_invalid`
 */
function assertClasses(rows: readonly Pick<WorkflowRow, "name" | "className">[]): void {
  const taken = new Map<string, string>();
  for (const { name, className } of rows) {
    const other = taken.get(className);
    if (other !== undefined) {
      throw new Failure("workflow_invalid", {
        message: `the class "${className}" would run two Workflows of the Worker: "${other}" and "${name}"`,
        fix: `Give each a class of its own, which may extend the other, or delete one that is no longer used, with its instances: \`wrangler workflows delete NAME\`.`,
        facts: { class: className, workflows: [other, name] },
      });
    }
    taken.set(className, name);
  }
}

/** Workflows of one account. */
const MOST_WORKFLOWS = 500;

async function assertNotMany(
  db: Database,
  { accountId, scriptName }: ScriptKey,
  own: number,
): Promise<void> {
  if (own === 0) return;
  const all = await listWorkflows(db, accountId);
  const others = all.filter(({ script }) => script !== scriptName).length;
  if (own + others <= MOST_WORKFLOWS) return;
  throw new Failure("workflows_limited", { facts: { limit: MOST_WORKFLOWS } });
}

async function assertFree(
  db: Database,
  { accountId, scriptName }: ScriptKey,
  name: string,
): Promise<void> {
  const other = await findWorkflow(db, accountId, name);
  if (other !== null && other.script !== scriptName) throw ofAnother(name, other.script);
}

function assertBoundOnce(name: string, bindings: readonly WorkerBinding[]): void {
  const classes = bindings.flatMap((one) =>
    one.type === "workflow" && one.workflowName === name ? one.className : [],
  );
  if (new Set(classes).size === 1) return;
  const named = classes.map((one) => `"${one}"`).join(" and ");
  throw new Failure("workflow_invalid", {
    message: `the Workflow "${name}" is bound with the classes ${named}`,
    facts: { workflow: name, classes },
  });
}

function fresh({ accountId }: ScriptKey, name: string, on: string): WorkflowRow {
  const id = randomBytes(16).toString("hex");
  return {
    id,
    accountId,
    scriptId: null,
    name,
    className: "",
    settings: {},
    createdOn: on,
    modifiedOn: on,
  };
}
