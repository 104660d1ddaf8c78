import { Failure } from "../../failures/failures.ts";
import { deleteAccess, listAccess, putAccess } from "../../store/access/access.ts";
import type { Database } from "../../store/database.ts";
import type { AccessApplicationRow, AccessPolicyRow } from "../../store/schema.ts";
import type { Caller } from "../api/auth.ts";
import type { ControlContext } from "../api/context.ts";
import { endpoint, type Endpoint } from "../api/endpoint.ts";
import { list } from "../api/envelope.ts";
import { changeAccess, existingAccess } from "./access-change.ts";
import {
  changedPolicy,
  newPolicy,
  policyBody,
  policyFacts,
  putPolicy,
  shownPolicy,
} from "./access-policies.ts";

/** Policies that belong to one application. They are listed together with the shared policies that it uses. */
export function applicationPolicyEndpoints(context: ControlContext): readonly Endpoint[] {
  const { store, clock } = context;
  const path = "/accounts/{account_id}/access/apps/{app_id}/policies";
  const [read, write] = ["ssl_certs:read", "ssl_certs:write"] as const;
  type Params = Readonly<Record<string, string>>;
  const application = (db: Database, caller: Caller, params: Params) =>
    existingAccess(db, "accessApplications", caller, params["app_id"]);
  const policyOf = async (
    db: Database,
    caller: Caller,
    params: Params,
  ): Promise<{ app: AccessApplicationRow; policy: AccessPolicyRow }> => {
    const app = await application(db, caller, params);
    const policy = await existingAccess(db, "accessPolicies", caller, params["policy_id"]);
    if (app.policies.includes(policy.id)) return { app, policy };
    throw new Failure("access_not_found", {
      message: `the application "${app.name}" has no policy "${policy.id}"`,
    });
  };
  const shown = async (row: AccessPolicyRow, app: AccessApplicationRow): Promise<object> => {
    const fresh = await existingAccess(store.db, "accessApplications", app, app.id);
    const all = await listAccess(store.db, "accessApplications", app.accountId);
    return { ...shownPolicy(row, all), precedence: fresh.policies.indexOf(row.id) + 1 };
  };
  return [
    endpoint(
      { method: "get", path, summary: "Policies of an application", scope: read },
      async ({ caller, params }) => {
        const app = await application(store.db, caller, params);
        const policies = await listAccess(store.db, "accessPolicies", caller.accountId);
        const rows = app.policies.flatMap((id) => policies.find((one) => one.id === id) ?? []);
        return list(await Promise.all(rows.map((row) => shown(row, app))));
      },
    ),
    endpoint(
      {
        method: "post",
        path,
        summary: "Add a policy to an application",
        scope: write,
        body: policyBody,
      },
      async ({ caller, params, body }) => {
        const done = await changeAccess(context, caller, async ({ db }) => {
          const app = await application(db, caller, params);
          const row = newPolicy(caller, body, { applicationId: app.id, now: clock() });
          const put = await putPolicy(db, row, "create");
          await place(db, app, row.id, body.precedence);
          return { ...put, value: { app, row } };
        });
        return { status: 201, result: await shown(done.row, done.app) };
      },
    ),
    endpoint(
      { method: "get", path: `${path}/{policy_id}`, summary: "One policy of it", scope: read },
      async ({ caller, params }) => {
        const { app, policy } = await policyOf(store.db, caller, params);
        return { result: await shown(policy, app) };
      },
    ),
    endpoint(
      {
        method: "put",
        path: `${path}/{policy_id}`,
        summary: "Change a policy of an application",
        scope: write,
        body: policyBody,
      },
      async ({ caller, params, body }) => {
        const done = await changeAccess(context, caller, async ({ db }) => {
          const { app, policy } = await policyOf(db, caller, params);
          if (policy.applicationId === null) {
            throw new Failure("access_in_use", {
              message: `the policy "${policy.name}" is not this application's alone`,
              fix: `Change it at /access/policies/${policy.id}.`,
            });
          }
          const row = changedPolicy(policy, body, clock());
          const put = await putPolicy(db, row, "update", policy);
          await place(db, app, row.id, body.precedence);
          return { ...put, value: { app, row } };
        });
        return { result: await shown(done.row, done.app) };
      },
    ),
    endpoint(
      {
        method: "delete",
        path: `${path}/{policy_id}`,
        summary: "Take a policy from an application",
        scope: write,
      },
      async ({ caller, params }) => {
        const id = await changeAccess(context, caller, async ({ db }) => {
          const { app, policy } = await policyOf(db, caller, params);
          const rest = app.policies.filter((one) => one !== policy.id);
          await putAccess(db, "accessApplications", { ...app, policies: rest });
          if (policy.applicationId !== null) await deleteAccess(db, "accessPolicies", policy);
          return {
            value: policy.id,
            action: "access.policy_delete",
            resource: { type: "access_policy", id: policy.id, name: policy.name },
            before: policyFacts(policy),
          };
        });
        return { result: { id }, status: 202 };
      },
    ),
  ];
}

/** Puts a policy at its place in the order; without a precedence it becomes the last. */
async function place(
  db: Database,
  app: AccessApplicationRow,
  id: string,
  precedence: number | null | undefined,
): Promise<void> {
  const before = app.policies;
  if (before.includes(id) && precedence == null) return;
  const others = before.filter((one) => one !== id);
  others.splice(precedence == null ? others.length : precedence - 1, 0, id);
  await putAccess(db, "accessApplications", { ...app, policies: others });
}
