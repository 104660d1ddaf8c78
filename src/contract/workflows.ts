import type { ScriptKey } from "./change-feed.ts";

/** Which Workflow is asked, and where its instances are kept. */
export interface WorkflowKey extends ScriptKey {
  readonly workflow: string;
  readonly workflowId: string;
}

/** What is asked of a Workflow's engine. */
export type WorkflowCall =
  | {
      readonly call: "create";
      readonly options: { readonly id?: string; readonly params?: unknown };
    }
  | {
      readonly call: "change";
      readonly id: string;
      readonly action: "pause" | "resume" | "terminate" | "restart";
      readonly options: Readonly<Record<string, unknown>>;
    }
  | {
      readonly call: "event";
      readonly id: string;
      readonly type: string;
      readonly payload: unknown;
    }
  | { readonly call: "remove"; readonly ids: readonly string[] }
  | { readonly call: "instance"; readonly id: string };

/** One of a list. */
export interface ListedInstance {
  readonly id: string;
  readonly status: string;
  /** ISO 8601. */
  readonly createdOn: string;
  /** When something of it was written last. */
  readonly modifiedOn: string;
}

export interface InstancePage {
  /** Newest first. */
  readonly instances: readonly ListedInstance[];
  /** Where the next page begins. Null: there is none. */
  readonly cursor: string | null;
}

export interface InstanceFilter {
  readonly limit: number;
  readonly cursor?: string | undefined;
  readonly status?: string | undefined;
  /** ISO 8601: created then or later, or earlier. */
  readonly from?: string | undefined;
  readonly to?: string | undefined;
}
