import { z } from "@hono/zod-openapi";
import { randomUUID } from "node:crypto";
import { Failure } from "../../failures/failures.ts";
import { deleteAccess, listAccess, putAccess } from "../../store/access/access.ts";
import type { Database } from "../../store/database.ts";
import type { AccessApplicationRow, AccessPolicyRow } from "../../store/schema.ts";
import type { Caller } from "../api/auth.ts";
import type { ControlContext } from "../api/context.ts";
import { endpoint, type Endpoint } from "../api/endpoint.ts";
import { assertRoom } from "../api/room.ts";
import { list } from "../api/envelope.ts";
import { oneLine } from "../api/text.ts";
import { changeAccess, existingAccess, refuseOthers } from "./access-change.ts";
import { readRules, rules } from "./access-rules.ts";

export interface PolicyBody {
  readonly name: string;
  readonly decision: string;
  readonly include: readonly Record<string, unknown>[];
  readonly require?: readonly Record<string, unknown>[] | null | undefined;
  readonly exclude?: readonly Record<string, unknown>[] | null | undefined;
  /** Its place among the policies of its application, from 1. */
  readonly precedence?: number | null | undefined;
  readonly session_duration?: string | null | undefined;
  readonly [other: string]: unknown;
}

export const policyBody: z.ZodType<PolicyBody> = z
  .object({
    name: z.string().min(1).max(255),
    decision: oneLine,
    include: rules,
    require: rules.nullish(),
    exclude: rules.nullish(),
    precedence: z.number().int().min(1).max(1000).nullish(),
    session_duration: oneLine.max(50).nullish(),
  })
  .loose();

/** Accepted without effect: sessions concern people, and Terraform always sends and reads a session's duration. */
const KNOWN = [
  "name",
  "decision",
  "include",
  "require",
  "exclude",
  "precedence",
  "session_duration",
  "id",
  "reusable",
];

/** Policies that any application may use. */
export function accessPolicyEndpoints(context: ControlContext): readonly Endpoint[] {
  const { store, clock } = context;
  const path = "/accounts/{account_id}/access/policies";
  const [read, write] = ["ssl_certs:read", "ssl_certs:write"] as const;
  const shownOne = async (row: AccessPolicyRow): Promise<object> => {
    const applications = await listAccess(store.db, "accessApplications", row.accountId);
    return shownPolicy(row, applications);
  };
  return [
    endpoint(
      { method: "get", path, summary: "Policies of Access", scope: read },
      async ({ caller: { accountId } }) => {
        const applications = await listAccess(store.db, "accessApplications", accountId);
        const rows = await listAccess(store.db, "accessPolicies", accountId);
        return list(
          rows
            .filter(({ applicationId }) => applicationId === null)
            .map((row) => shownPolicy(row, applications)),
        );
      },
    ),
    endpoint(
      { method: "post", path, summary: "Make a policy of Access", scope: write, body: policyBody },
      async ({ caller, body }) => {
        const row = newPolicy(caller, body, { applicationId: null, now: clock() });
        await changeAccess(context, caller, ({ db }) => putPolicy(db, row, "create"));
        return { status: 201, result: await shownOne(row) };
      },
    ),
    endpoint(
      { method: "get", path: `${path}/{policy_id}`, summary: "One policy", scope: read },
      async ({ caller, params }) => ({
        result: await shownOne(await reusable(store.db, caller, params["policy_id"])),
      }),
    ),
    endpoint(
      {
        method: "put",
        path: `${path}/{policy_id}`,
        summary: "Change a policy of Access",
        scope: write,
        body: policyBody,
      },
      async ({ caller, params, body }) => {
        const row = await changeAccess(context, caller, async ({ db }) => {
          const before = await reusable(db, caller, params["policy_id"]);
          return putPolicy(db, changedPolicy(before, body, clock()), "update", before);
        });
        return { result: await shownOne(row) };
      },
    ),
    endpoint(
      {
        method: "delete",
        path: `${path}/{policy_id}`,
        summary: "Delete a policy of Access",
        scope: write,
      },
      async ({ caller, params }) => {
        const id = await changeAccess(context, caller, async ({ db }) => {
          const before = await reusable(db, caller, params["policy_id"]);
          const applications = await listAccess(db, "accessApplications", caller.accountId);
          const user = applications.find((one) => one.policies.includes(before.id));
          if (user !== undefined) {
            throw new Failure("access_in_use", {
              message: `the application "${user.name}" uses the policy "${before.name}"`,
              facts: { application: user.id },
            });
          }
          await deleteAccess(db, "accessPolicies", before);
          return {
            value: before.id,
            action: "access.policy_delete",
            resource: { type: "access_policy", id: before.id, name: before.name },
            before: policyFacts(before),
          };
        });
        return { result: { id }, status: 202 };
      },
    ),
  ];
}

/** @throws Failure `access_needs_login`, `access_unsupported`, `access_invalid` */
export function newPolicy(
  { accountId }: Caller,
  body: PolicyBody,
  { applicationId, now }: { readonly applicationId: string | null; readonly now: Date },
): AccessPolicyRow {
  return {
    id: randomUUID(),
    accountId,
    applicationId,
    createdOn: now.toISOString(),
    ...changing(body, now),
  };
}

export function changedPolicy(
  before: AccessPolicyRow,
  body: PolicyBody,
  now: Date,
): AccessPolicyRow {
  return { ...before, ...changing(body, now) };
}

function changing(
  body: PolicyBody,
  now: Date,
): Pick<AccessPolicyRow, "name" | "decision" | "rules" | "sessionDuration" | "updatedOn"> {
  refuseOthers(body, KNOWN);
  const { decision } = body;
  if (decision === "allow") {
    throw new Failure("access_needs_login", {
      message: 'the decision "allow" lets in people who signed in, and Access signs in nobody here',
      facts: { decision },
    });
  }
  if (decision !== "non_identity" && decision !== "bypass" && decision !== "deny") {
    throw new Failure("access_invalid", {
      message: `"${decision.slice(0, 60)}" is not a decision: non_identity, bypass or deny`,
    });
  }
  const read = {
    include: readRules(body.include),
    require: readRules(body.require ?? []),
    exclude: readRules(body.exclude ?? []),
  };
  return {
    name: body.name,
    decision,
    rules: read,
    sessionDuration: body.session_duration ?? null,
    updatedOn: now.toISOString(),
  };
}

export async function putPolicy(
  db: Database,
  row: AccessPolicyRow,
  verb: "create" | "update",
  before?: AccessPolicyRow,
): Promise<{
  value: AccessPolicyRow;
  action: `access.policy_${string}`;
  resource: { type: string; id: string; name: string };
  before?: Record<string, unknown>;
  after: Record<string, unknown>;
}> {
  if (verb === "create") await assertRoom(db, row.accountId, "accessPolicies");
  await putAccess(db, "accessPolicies", row);
  return {
    value: row,
    action: `access.policy_${verb}`,
    resource: { type: "access_policy", id: row.id, name: row.name },
    ...(before && { before: policyFacts(before) }),
    after: policyFacts(row),
  };
}

export function policyFacts(row: AccessPolicyRow): Record<string, unknown> {
  return {
    name: row.name,
    decision: row.decision,
    application: row.applicationId,
    ...row.rules,
  };
}

export function shownPolicy(
  row: AccessPolicyRow,
  applications: readonly AccessApplicationRow[],
): Record<string, unknown> {
  return {
    id: row.id,
    account_id: row.accountId,
    name: row.name,
    decision: row.decision,
    ...row.rules,
    session_duration: row.sessionDuration ?? "24h",
    reusable: row.applicationId === null,
    app_count: applications.filter((one) => one.policies.includes(row.id)).length,
    created_at: row.createdOn,
    updated_at: row.updatedOn,
  };
}

async function reusable(db: Database, caller: Caller, id?: string): Promise<AccessPolicyRow> {
  const row = await existingAccess(db, "accessPolicies", caller, id);
  if (row.applicationId === null) return row;
  throw new Failure("access_not_found", {
    message: `the policy "${row.id}" is a part of the application "${row.applicationId}"`,
  });
}
