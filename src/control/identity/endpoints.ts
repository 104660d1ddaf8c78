import { z } from "@hono/zod-openapi";
import { readWorkerSpiffeId, workerSpiffeId } from "countersign-origin";
import { applyChange } from "../api/apply-change.ts";
import type { ScriptKey } from "../../contract/change-feed.ts";
import { Failure } from "../../failures/failures.ts";
import type { Identities } from "../../identity/identities.ts";
import { restoreIdentity, revokeIdentity } from "../../identity/lifecycle.ts";
import { findIdentity, listIdentities, listIssued } from "../../store/identities.ts";
import type { IdentityRow, IssuedIdentityRow } from "../../store/schema.ts";
import type { Write } from "../../store/store.ts";
import { actorOf, type Caller } from "../api/auth.ts";
import type { ControlContext } from "../api/context.ts";
import { endpoint, type Endpoint } from "../api/endpoint.ts";
import { list, type Answer } from "../api/envelope.ts";

/** Identities of Workers: listed, revoked and given back. */
export function identityEndpoints(
  { store, edge, clock }: ControlContext,
  identities: Identities,
): readonly Endpoint[] {
  const path = "/accounts/{account_id}/countersign/identities";

  const shown = (row: IdentityRow, issued: readonly IssuedIdentityRow[]): object => {
    const newest = issued.find(({ scriptName }) => scriptName === row.scriptName);
    return {
      worker: row.scriptName,
      spiffe_id: workerSpiffeId({
        trustDomain: identities.trustDomain,
        account: row.accountId,
        worker: row.scriptName,
        environment: null,
      }),
      state: row.revokedOn === null ? "active" : (row.reason ?? "revoked"),
      revoked_on: row.revokedOn,
      serial_number: newest?.serial ?? null,
      issued_on: newest?.issuedOn ?? null,
      expires_on: newest?.notAfter ?? null,
    };
  };

  const change = async (
    caller: Caller,
    worker: string | undefined,
    action: "revoke" | "restore",
    work: (write: Write, key: ScriptKey) => Promise<IdentityRow>,
  ): Promise<Answer> => {
    const { accountId } = caller;
    const key = { accountId, scriptName: workerOf(worker, accountId) };
    const value = await applyChange({ store, edge }, async (write) => {
      const row = await work(write, key);
      return {
        value: row,
        audit: {
          by: actorOf(caller),
          action: `identity.${action}`,
          accountId,
          resource: { type: "identity", id: key.scriptName },
          after: { revoked_on: row.revokedOn },
        },
      };
    });
    return { result: shown(value, await listIssued(store.db, accountId, key.scriptName)) };
  };

  return [
    endpoint(
      { method: "get", path, summary: "Identities of Workers", scope: "ssl_certs:read" },
      async ({ caller: { accountId } }) => {
        const issued = await listIssued(store.db, accountId);
        const rows = await listIdentities(store.db, accountId);
        return list(rows.map((row) => shown(row, issued)));
      },
    ),
    endpoint(
      { method: "get", path: `${path}/{worker}`, summary: "One identity", scope: "ssl_certs:read" },
      async ({ caller: { accountId }, params }) => {
        const key = { accountId, scriptName: workerOf(params["worker"], accountId) };
        const row = await findIdentity(store.db, key);
        if (!row) {
          throw new Failure("identity_not_found", {
            message: `the Worker "${key.scriptName.slice(0, 100)}" never had an identity`,
          });
        }
        const issued = await listIssued(store.db, accountId, key.scriptName);
        const history = issued.map(({ serial, issuedOn, notAfter, revokedOn }) => ({
          serial_number: serial,
          issued_on: issuedOn,
          expires_on: notAfter,
          revoked_on: revokedOn,
        }));
        return { result: { ...shown(row, issued), issued: history } };
      },
    ),
    endpoint(
      {
        method: "post",
        path: `${path}/{worker}/revoke`,
        summary: "Take a Worker's identity away",
        scope: "ssl_certs:write",
        body: z.object({}).loose().optional(),
      },
      ({ caller, params }) =>
        change(caller, params["worker"], "revoke", (write, key) =>
          revokeIdentity(write, key, "revoked", clock()),
        ),
    ),
    endpoint(
      {
        method: "post",
        path: `${path}/{worker}/restore`,
        summary: "Let a Worker have an identity again",
        scope: "ssl_certs:write",
        body: z.object({}).loose().optional(),
      },
      ({ caller, params }) => change(caller, params["worker"], "restore", restoreIdentity),
    ),
  ];
}

/** By its name, or by its SPIFFE ID. */
function workerOf(text: string | undefined, accountId: string): string {
  const identity = text?.startsWith("spiffe://") ? readWorkerSpiffeId(text) : null;
  return identity?.account === accountId ? identity.worker : (text ?? "");
}
