import { rm } from "node:fs/promises";
import { join } from "node:path";
import type { ObjectClass, WorkerBinding, WorkerVersion } from "../../contract/change-feed.ts";
import type { Mount } from "../../process/walls/sandbox-kinds.ts";
import type { CapnpValue } from "../config/capnp.ts";
import { Claims } from "./claims.ts";
import { isRemote } from "./remote-objects.ts";
import { instancesAt } from "./workflows.ts";

type Stateful = Pick<WorkerVersion, "objects" | "workflows">;

/** Whether it has Durable Objects or instances of Workflows. Then only one process at a time may run. */
export function keepsObjects({ objects = [], workflows = [] }: Stateful): boolean {
  return objects.length > 0 || workflows.length > 0;
}

/** The folders of Durable Objects: one for each namespace or Workflow, which one process has at a time. */
export class Objects {
  readonly #claims = new Claims();
  readonly #folderOf: (accountId: string) => string;

  /** @param folderOf where the data of an account are; throws if this edge keeps no data */
  constructor(folderOf: (accountId: string) => string) {
    this.#folderOf = folderOf;
  }

  /** All folders that a Worker's process may write to. */
  mounts(version: Stateful & { readonly accountId: string }): Mount[] {
    const { accountId, objects = [], workflows = [] } = version;
    return [
      ...objects.map(({ namespaceId }) => ({
        at: `${OBJECTS}/${namespaceId}`,
        folder: this.folder(accountId, namespaceId),
      })),
      ...workflows.map((workflow) => ({
        at: instancesAt(workflow),
        folder: this.folder(accountId, workflow.workflowId),
      })),
    ];
  }

  /** Resolves when no other process has its folders. @returns a function that gives them back */
  claim({ objects = [], workflows = [] }: Stateful, signal: AbortSignal): Promise<() => void> {
    const ids = [
      ...objects.map(({ namespaceId }) => namespaceId),
      ...workflows.map(({ workflowId }) => workflowId),
    ];
    return this.#claims.take(ids, signal);
  }

  async remove(accountId: string, namespaceIds: readonly string[]): Promise<void> {
    const release = await this.#claims.take(namespaceIds);
    try {
      for (const id of namespaceIds) {
        await rm(this.folder(accountId, id), { recursive: true, force: true });
      }
    } finally {
      release();
    }
  }

  /** The folder of a namespace or Workflow. @param namespaceId or the id of a Workflow */
  folder(accountId: string, namespaceId: string): string {
    return join(this.#folderOf(accountId), OBJECTS, namespaceId);
  }
}

/** The parts of a Worker's configuration that concern its objects. */
export interface ObjectsConfig {
  readonly services: readonly CapnpValue[];
  /** Fields of the Worker itself. */
  readonly fields: Readonly<Record<string, CapnpValue>>;
}

/** @param kept false: the objects are lost when the process ends */
export function objectsConfig({ objects = [] }: Stateful, kept: boolean): ObjectsConfig {
  if (objects.length === 0) return { services: [], fields: {} };
  const storage: CapnpValue = kept ? { localDisk: OBJECTS } : { inMemory: { enumerant: "void" } };
  return {
    services: kept ? [{ name: OBJECTS, disk: { path: OBJECTS, writable: true } }] : [],
    fields: {
      durableObjectNamespaces: objects.map(({ className, namespaceId, sql }) => ({
        className,
        uniqueKey: namespaceId,
        enableSql: sql,
      })),
      durableObjectStorage: storage,
    },
  };
}

/** A binding whose class or Workflow has been deleted since would keep the Worker from starting. */
export function isBindable(binding: WorkerBinding, version: Stateful): boolean {
  const { objects = [], workflows = [] } = version;
  if (binding.type === "workflow") {
    return workflows.some(({ name }) => name === binding.workflowName);
  }
  if (binding.type !== "durable_object_namespace" || isRemote(binding)) return true;
  return objects.some(({ className }) => className === binding.className);
}

/** The class that the Worker lacks, according to workerd's message at the start. */
export function missingClass(message: string, { objects = [] }: Stateful): ObjectClass | null {
  const name = /referenced the class "(.+?)", but no such Durable Object class/.exec(message)?.[1];
  return objects.find(({ className }) => className === name) ?? null;
}

/** The name of the folder, also in workerd's configuration. */
const OBJECTS = "objects";
