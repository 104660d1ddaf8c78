import type { ConnectionTests } from "./connection-tests.ts";
import type { ScriptKey, WorkerVersion } from "./change-feed.ts";
import type { AssetContents } from "./assets.ts";
import type { EventOutcome, ScheduledRun } from "./events.ts";
import type { InstanceFilter, InstancePage, WorkflowCall, WorkflowKey } from "./workflows.ts";
import type { StorageAnswer, StorageRequest } from "./storage.ts";

/** What the control plane asks of an edge that runs beside it. */
export interface Edge extends ConnectionTests, AsyncDisposable {
  /**
   * Starts a version beside whatever runs, without a route, and resolves once it has answered its
   * probe. It stays warm, so that a deployment of it that comes through the feed moves at once.
   * @throws Failure `worker_start_failed` with the exception and its line, or
   * `worker_start_timeout`. Whatever ran before goes on untouched.
   */
  stage(version: WorkerVersion): Promise<void>;
  /** Stops a staged version that will not be deployed. No effect on one that is. */
  discard(versionId: string): Promise<void>;
  /**
   * Says whether somebody reads the log of a script. While somebody does, all of its calls are
   * reported. Resolves once the running processes of the script do so.
   */
  follow(key: ScriptKey, isFollowed: boolean): Promise<void>;
  /** Resolves when every change up to `cursor` is in force on this machine, or has failed loudly. */
  applied(cursor: number): Promise<void>;
  /**
   * From now on, records that this master key sealed can be opened, too.
   * @param masterKey 32 bytes
   */
  adoptMasterKey(masterKey: Uint8Array): Promise<void>;
  /**
   * Asks a resource of an account's storage, whose processes are started if they do not run.
   * @throws Failure `storage_unavailable`
   */
  storage(request: StorageRequest): Promise<StorageAnswer>;
  /** What versions serve beside their code. */
  readonly assets: AssetContents;
  /**
   * Calls a Worker's `scheduled()` handler once, and resolves when it has returned. What fails is in
   * the Worker's log as well.
   * @throws Failure `event_not_delivered`, `events_exceeded`
   */
  scheduled(run: ScheduledRun): Promise<EventOutcome>;
  /**
   * Removes all that is kept in these namespaces of Durable Objects, or Workflows, once no process
   * has them open. A namespace without a folder is skipped.
   */
  removeObjects(accountId: string, namespaceIds: readonly string[]): Promise<void>;
  /**
   * Asks the engine of a Workflow, in the process of its Worker. What it answers is what a Worker's
   * process says: others' bytes.
   * @throws Failure `workflow_unreachable`, `workflow_calls_exceeded`, and what the engine refuses:
   * `workflow_instance_unknown`, `workflow_instance_exists`, `workflow_instance_invalid`,
   * `workflow_instance_state`, `workflow_refused`
   */
  workflow(key: WorkflowKey, call: WorkflowCall): Promise<unknown>;
  /** @throws Failure `workflow_unreachable`, `workflow_calls_exceeded` */
  workflowInstances(key: WorkflowKey, filter: InstanceFilter): Promise<InstancePage>;
  /** What runs, for listings, `doctor` and the dashboard. */
  status(): EdgeStatus;
}

export interface EdgeStatus {
  /** What keeps Workers apart from everything else on the machine. */
  readonly sandbox: { readonly kind: string; readonly summary: string };
  /** Whether processes of the platform's own that parse what strangers send have users of their own. */
  readonly users: {
    readonly isInForce: boolean;
    /** The platform is root and could give them, but for what the summary says. */
    readonly isHindered: boolean;
    readonly summary: string;
  };
  /** Whether the kernel counts all that a Worker has it keep. The summary says where, or why not. */
  readonly memoryGroups: { readonly isInForce: boolean; readonly summary: string };
  /** Of all its processes together. */
  readonly gateway: ProcessStatus;
  readonly gatewayProcesses: readonly ProcessStatus[];
  readonly ingress: ProcessStatus;
  readonly ingressProcesses: readonly ProcessStatus[];
  /** One for each process. */
  readonly workers: readonly WorkerStatus[];
}

export interface ProcessStatus {
  readonly pid: number | null;
  /** `idle`: a Worker that is started by its next request. */
  readonly state: "starting" | "running" | "idle" | "restarting" | "draining" | "stopped";
  readonly restarts: number;
  /** Why it last ended, in a sentence. Null: it never did. */
  readonly lastExit: string | null;
}

export interface WorkerStatus extends ProcessStatus {
  readonly accountId: string;
  readonly scriptName: string;
  readonly versionId: string;
  /** Bytes of RAM that it holds. Null: it does not run, or that is not known here. */
  readonly memory: number | null;
}
