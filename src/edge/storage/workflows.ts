import type { WorkerBinding, WorkerVersion, WorkflowClass } from "../../contract/change-feed.ts";
import type { CapnpValue } from "../config/capnp.ts";
import { engineModules } from "./workflow-engine.ts";

type WithWorkflows = Pick<WorkerVersion, "workflows">;
type Fields = Readonly<Record<string, CapnpValue>>;

export function hasWorkflows({ workflows = [] }: WithWorkflows): boolean {
  return workflows.length > 0;
}

/** The folder of a Workflow's instances inside the engine's folder. The engine chooses this name. */
export function instancesAt({ name }: WorkflowClass): string {
  return `${ENGINE}/${classOf(name)}`;
}

/**
 * workerd's own engine, in the Worker's process: an instance is an object, and calls the class that the Worker exports.
 * @param scratch a folder for instances that are lost with the process, because workerd cannot keep them in memory.
 * Null: instances are kept
 */
export function workflowsConfig(
  { workflows = [] }: WithWorkflows,
  scratch: string | null,
): { readonly services: readonly CapnpValue[]; readonly fields: Fields } {
  if (workflows.length === 0) return { services: [], fields: {} };
  const disk = `disk ${ENGINE}`;
  const engine = {
    name: ENGINE,
    worker: {
      modules: engineModules(),
      compatibilityDate: "2026-11-01",
      durableObjectStorage: { localDisk: disk },
      bindings: [
        ...workflows.map(({ name }) => ({
          name: `workflow:${name}`,
          durableObjectNamespace: instancesOf(name),
        })),
        { name: "WORKFLOWS", json: JSON.stringify(settings(workflows)) },
      ],
      globalOutbound: "probe",
    },
  };
  return {
    services: [engine, { name: disk, disk: { path: scratch ?? ENGINE, writable: true } }],
    fields: {
      workflowsEngine: {
        actorClass: { name: ENGINE, entrypoint: "Engine" },
        workflows: workflows.map(({ name, className }) => ({
          className,
          name,
          bindingService: calls(name),
        })),
      },
    },
  };
}

/** The binding in `env`. Null: the Workflow was deleted meanwhile, or the binding is not one to a Workflow. */
export function workflowBinding(
  binding: WorkerBinding,
  { workflows = [] }: WithWorkflows,
): Fields | null {
  if (binding.type !== "workflow") return null;
  if (!workflows.some(({ name }) => name === binding.workflowName)) return null;
  return {
    wrapped: {
      moduleName: "cloudflare-internal:workflows-api",
      innerBindings: [{ name: "fetcher", service: calls(binding.workflowName) }],
    },
  };
}

/** The bindings through which the Worker that the platform calls reaches Workflows. */
export function workflowDoors({ workflows = [] }: WithWorkflows): readonly CapnpValue[] {
  return workflows.flatMap(({ name }) => [
    { name: `workflow:${name}`, service: calls(name) },
    { name: `instances:${name}`, durableObjectNamespace: instancesOf(name) },
  ]);
}

/** The Workflow whose class the Worker does not export, according to workerd's message at the start. */
export function missingWorkflow(
  message: string,
  { workflows = [] }: WithWorkflows,
): WorkflowClass | null {
  const name = /Workflow "(.+?)" refers to class ".+?", but the Worker exports no such/.exec(
    message,
  )?.[1];
  return workflows.find((one) => one.name === name) ?? null;
}

function calls(name: string): Fields {
  const props = { json: JSON.stringify({ workflow: name }) };
  return { name: ENGINE, entrypoint: "WorkflowBinding", props };
}

function instancesOf(name: string): Fields {
  return { className: classOf(name), serviceName: "main" };
}

/** The engine's name for the class of a Workflow's instances, and for their folder. */
function classOf(name: string): string {
  return `miniflare-workflows-${name}`;
}

function settings(workflows: readonly WorkflowClass[]): object {
  return Object.fromEntries(
    workflows.map(({ name, steps, retention }) => [
      name,
      { ...(steps !== undefined && { steps }), ...(retention && { retention }) },
    ]),
  );
}

/** The name of the engine's service and folder. */
const ENGINE = "workflows";
