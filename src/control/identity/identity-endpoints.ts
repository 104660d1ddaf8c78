import { z } from "@hono/zod-openapi";
import { readWorkerSpiffeId } from "countersign-origin";
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

/** Identities of Workers: list, revoke, restore. */
export function identityEndpoints(
  { store, edge, clock }: ControlContext,
  identities: Identities,
): readonly Endpoint[] {
  const path = "/accounts/{account_id}/countersign/identities";

  /** @param issued newest first; may include those of other Workers */
  const shown = async (row: IdentityRow, issued: readonly IssuedIdentityRow[]): Promise<object> => {
    const newest = issued.find(({ scriptName }) => scriptName === row.scriptName);
    const spiffeId = newest?.spiffeId ?? (await identities.spiffeId(row));
    return {
      worker: row.scriptName,
      environment: readWorkerSpiffeId(spiffeId)?.environment ?? null,
      spiffe_id: spiffeId,
      state: row.revokedOn === null ? "active" : (row.reason ?? "revoked"),
      revoked_on: row.revokedOn,
      serial_number: newest?.serial ?? null,
      issued_on: newest?.issuedOn ?? null,
      expires_on: newest?.notAfter ?? null,
    };
  };

  /** Finds a Worker by its name or by a SPIFFE ID that it has or had. The ID of another environment finds nobody. */
  const keyOf = async (text: string | undefined, accountId: string): Promise<ScriptKey> => {
    const identity = text?.startsWith("spiffe://") ? readWorkerSpiffeId(text) : null;
    if (identity?.account !== accountId) return { accountId, scriptName: text ?? "" };
    const key = { accountId, scriptName: identity.worker };
    if (identity.environment === null || (await identities.spiffeId(key)) === text) return key;
    const issued = await listIssued(store.db, accountId, identity.worker);
    return issued.some(({ spiffeId }) => spiffeId === text)
      ? key
      : { accountId, scriptName: text! };
  };

  const change = async (
    caller: Caller,
    worker: string | undefined,
    action: "revoke" | "restore",
    work: (write: Write, key: ScriptKey) => Promise<IdentityRow>,
  ): Promise<Answer> => {
    const { accountId } = caller;
    const key = await keyOf(worker, accountId);
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
    return { result: await shown(value, await listIssued(store.db, accountId, key.scriptName)) };
  };

  return [
    endpoint(
      { method: "get", path, summary: "Identities of Workers", scope: "ssl_certs:read" },
      async ({ caller: { accountId } }) => {
        const issued = await listIssued(store.db, accountId);
        const rows = await listIdentities(store.db, accountId);
        return list(await Promise.all(rows.map((row) => shown(row, issued))));
      },
    ),
    endpoint(
      { method: "get", path: `${path}/{worker}`, summary: "One identity", scope: "ssl_certs:read" },
      async ({ caller: { accountId }, params }) => {
        const key = await keyOf(params["worker"], accountId);
        const row = await findIdentity(store.db, key);
        if (!row) {
          throw new Failure("identity_not_found", {
            message: `the Worker "${key.scriptName.slice(0, 100)}" never had an identity`,
          });
        }
        const issued = await listIssued(store.db, accountId, key.scriptName);
        const history = issued.map(({ serial, spiffeId, issuedOn, notAfter, revokedOn }) => ({
          serial_number: serial,
          spiffe_id: spiffeId,
          issued_on: issuedOn,
          expires_on: notAfter,
          revoked_on: revokedOn,
        }));
        return { result: { ...(await shown(row, issued)), issued: history } };
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
