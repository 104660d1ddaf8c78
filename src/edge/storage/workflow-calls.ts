import { dirname } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { z } from "zod";
import { keyIn } from "../../contract/key-in.ts";
import type { ScriptKey } from "../../contract/change-feed.ts";
import type {
  InstanceFilter,
  InstancePage,
  ListedInstance,
  WorkflowCall,
  WorkflowKey,
} from "../../contract/workflows.ts";
import { Failure } from "../../failures/failures.ts";
import type { RunDirectory } from "../../process/run-directory.ts";
import { mainGeneration } from "../live.ts";
import type { Traffic } from "../traffic.ts";
import { askedOf } from "./workflow-asked.ts";
import { IN_MEMORY, Pace } from "./instance-pace.ts";
import { after, cursorAfter, type InstanceFile, instanceFiles } from "./instance-files.ts";
import type { Objects } from "./objects.ts";
import { STATUSES } from "./workflow-door.ts";

interface CallsOptions {
  readonly run: RunDirectory;
  readonly traffic: Pick<Traffic, "get">;
  readonly objects: Pick<Objects, "folder">;
}

/** Calls the engines of Workflows, which run in the processes of their Workers. */
export class WorkflowCalls {
  readonly #options: CallsOptions;
  /** How many calls of each script are running, and how fast its instances are reached to be listed. */
  readonly #running = new Map<string, number>();
  readonly #reached = new Map<string, Reached>();
  readonly #stopping = new AbortController();

  constructor(options: CallsOptions) {
    this.#options = options;
  }

  /** See `Edge.workflow`. */
  call(key: WorkflowKey, call: WorkflowCall): Promise<unknown> {
    return this.#inTurn(key, () => this.#ask(key, call));
  }

  /** See `Edge.workflowInstances`. */
  list(key: WorkflowKey, filter: InstanceFilter): Promise<InstancePage> {
    return this.#inTurn(key, () => this.#list(key, filter));
  }

  stop(): void {
    this.#stopping.abort();
  }

  async #inTurn<T>(key: ScriptKey, work: () => Promise<T>): Promise<T> {
    const id = keyIn(key.accountId, key.scriptName);
    const running = this.#running.get(id) ?? 0;
    if (running >= MOST_CALLS) throw new Failure("workflow_calls_exceeded");
    this.#running.set(id, running + 1);
    try {
      return await work();
    } finally {
      const left = (this.#running.get(id) ?? 1) - 1;
      if (left === 0) this.#running.delete(id);
      else this.#running.set(id, left);
    }
  }

  async #list(key: WorkflowKey, filter: InstanceFilter): Promise<InstancePage> {
    const { limit, cursor, status, from, to } = filter;
    const folder = this.#options.objects.folder(key.accountId, key.workflowId);
    const files = after(await instanceFiles(folder), cursor).slice(0, MOST_LOOKED_AT + 1);
    const looked = files.slice(0, MOST_LOOKED_AT);
    const instances: ListedInstance[] = [];
    for (const some of inBatches(looked, limit)) {
      await this.#paced(key, some);
      for (const [index, one] of (await this.#described(key, some)).entries()) {
        if (one === null || !isMeant(one, { status, from, to })) continue;
        instances.push(one);
        if (instances.length < limit) continue;
        const last = some[index]!;
        return { instances, cursor: last === files.at(-1) ? null : cursorAfter(last) };
      }
    }
    const last = looked.at(-1);
    const isAll = last === undefined || files.length === looked.length;
    return { instances, cursor: isAll ? null : cursorAfter(last) };
  }

  /** Waits until these instances fit into the Worker's memory. @throws Failure `workflow_unreachable` at the end */
  async #paced(key: WorkflowKey, files: readonly InstanceFile[]): Promise<void> {
    const now = performance.now();
    for (const [id, { last }] of this.#reached) if (now - last > 60_000) this.#reached.delete(id);
    const id = keyIn(key.accountId, key.scriptName);
    const reached = this.#reached.get(id) ?? {
      pace: new Pace(IN_MEMORY),
      last: now,
      at: new Map(),
    };
    this.#reached.set(id, reached);
    reached.last = now;
    for (const [one, at] of reached.at) if (now - at > STILL_IN_MEMORY) reached.at.delete(one);
    const others = files.filter((file) => !reached.at.has(file.key));
    for (const file of others) reached.at.set(file.key, now);
    try {
      await reached.pace.passed(others.length, this.#stopping.signal);
    } catch (error) {
      throw unreached(key, error);
    }
  }

  /** Null: nothing was created under this id, or the instance has been removed. */
  async #described(
    key: WorkflowKey,
    files: readonly InstanceFile[],
  ): Promise<readonly (ListedInstance | null)[]> {
    const keys = files.map((one) => one.key);
    const told = listed.safeParse(await this.#ask(key, { call: "list", keys }));
    if (!told.success) throw unreached(key, new Error("its process answered otherwise"));
    return files.map(({ written }, index) => {
      const found = told.data[index];
      const status = STATUSES[found?.status ?? -1];
      if (!found || status === undefined) return null;
      const { instanceId: id, createdOn } = found;
      return { id, status, createdOn, modifiedOn: new Date(written).toISOString() };
    });
  }

  /** Waits for a process that is being started, but never sends a call twice. */
  async #ask(key: WorkflowKey, call: object): Promise<unknown> {
    const { signal } = this.#stopping;
    const until = performance.now() + LONGEST_WAIT;
    for (;;) {
      try {
        return await askedOf(this.#folder(key), key.workflow, call);
      } catch (error) {
        if (error instanceof Failure) throw error;
        const isLate = performance.now() > until || signal.aborted;
        if (isLate || !isUnreached(error)) throw unreached(key, error);
      }
      await delay(PAUSE, undefined, { signal, ref: false }).catch(() => {});
    }
  }

  #folder(key: ScriptKey): string {
    const live = this.#options.traffic.get(key);
    if (live === undefined) throw new NotDeployed("nothing of it is deployed");
    return this.#options.run.absolute(dirname(mainGeneration(live).socket));
  }
}

/** What a listing needs if it filters nothing, then more. */
function* inBatches(
  files: readonly InstanceFile[],
  first: number,
): Generator<readonly InstanceFile[]> {
  for (let at = 0, next = Math.min(first, AT_ONCE); at < files.length;) {
    yield files.slice(at, at + next);
    at += next;
    next = AT_ONCE;
  }
}

/** The instances of one script that were listed lately. */
interface Reached {
  readonly pace: Pace;
  /** ms: when they were last listed, and when each was. */
  last: number;
  readonly at: Map<string, number>;
}

class NotDeployed extends Error {
  readonly code = "ENOENT";
}

const listed = z.array(
  z
    .object({ instanceId: z.string().max(100), status: z.int(), createdOn: z.iso.datetime() })
    .nullable(),
);

function unreached({ scriptName, workflow }: WorkflowKey, cause: unknown): Failure {
  return new Failure("workflow_unreachable", {
    message: `the Worker "${scriptName}", which runs the Workflow "${workflow}", was not reached: ${(cause as Error).message}`,
    cause,
  });
}

/** Nothing listened at the socket, so the Worker cannot have begun with the call. */
function isUnreached(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === "ENOENT" || code === "ECONNREFUSED";
}

function isMeant(
  { status, createdOn }: ListedInstance,
  filter: Pick<InstanceFilter, "status" | "from" | "to">,
): boolean {
  if (filter.status !== undefined && filter.status !== status) return false;
  const at = Date.parse(createdOn);
  if (filter.from !== undefined && at < Date.parse(filter.from)) return false;
  return filter.to === undefined || at <= Date.parse(filter.to);
}

/** Calls of one script at the same time. */
const MOST_CALLS = 16;
/** The most instances that one listing asks, and how many at once. */
const MOST_LOOKED_AT = 1_000;
const AT_ONCE = 100;
/** ms, less than what `workflow-engine.ts` says */
const STILL_IN_MEMORY = 2_500;
/** ms */
const LONGEST_WAIT = 15_000;
const PAUSE = 100;
