import { z } from "@hono/zod-openapi";
import { X509Certificate } from "node:crypto";
import { applyChange } from "../api/apply-change.ts";
import type { Identities } from "../../identity/identities.ts";
import {
  activateAuthority,
  importAuthority,
  prepareAuthority,
  retireAuthorities,
} from "../../identity/lifecycle.ts";
import { readRoot, readSigned } from "../../identity/offline.ts";
import { listAuthorities } from "../../store/identities.ts";
import type { IdentityAuthorityRow } from "../../store/schema.ts";
import { actorOf, type Caller } from "../api/auth.ts";
import type { ControlContext } from "../api/context.ts";
import { endpoint, type Endpoint } from "../api/endpoint.ts";
import { list, type Answer } from "../api/envelope.ts";
import type { Write } from "../../store/store.ts";

const forced = z.object({ force: z.boolean().optional() }).optional();

/** The CAs of an account's identities: prepared, activated, retired. */
export function identityAuthorityEndpoints(
  { store, edge, clock }: ControlContext,
  identities: Identities,
): readonly Endpoint[] {
  const path = "/accounts/{account_id}/countersign/identity/authorities";

  const step = async (
    caller: Caller,
    action: "prepare" | "import" | "activate" | "retire",
    work: (write: Write) => Promise<unknown>,
  ): Promise<Answer> => {
    const { accountId } = caller;
    await applyChange({ store, edge }, async (write) => {
      const value = await work(write);
      return {
        value,
        audit: {
          by: actorOf(caller),
          action: `identity.ca_${action}`,
          accountId,
          resource: { type: "identity_ca", id: accountId },
        },
      };
    });
    return list((await listAuthorities(store.db, accountId)).map(shown));
  };

  return [
    endpoint(
      { method: "get", path, summary: "CAs of identities", scope: "ssl_certs:read" },
      async ({ caller: { accountId } }) => {
        if ((await listAuthorities(store.db, accountId)).length === 0) {
          await identities.authority(accountId);
        }
        return list((await listAuthorities(store.db, accountId)).map(shown));
      },
    ),
    endpoint(
      {
        method: "post",
        path: `${path}/prepare`,
        summary: "Make a CA that is trusted and does not issue yet",
        scope: "ssl_certs:write",
        body: z.object({ root: z.string().max(65_536).optional() }).optional(),
      },
      async ({ caller, body }) => {
        const { accountId } = caller;
        if (body?.root !== undefined) {
          const row = await identities.offlineAuthority(accountId, readRoot(body.root, clock()));
          return step(caller, "prepare", (write) =>
            prepareAuthority(write, (number) => ({ ...row, number }), accountId),
          );
        }
        await identities.authority(accountId);
        const fresh = await identities.newAuthority(accountId, 0, "prepared");
        return step(caller, "prepare", (write) =>
          prepareAuthority(write, (number) => ({ ...fresh, number }), accountId),
        );
      },
    ),
    endpoint(
      {
        method: "post",
        path: `${path}/import`,
        summary: "Bring the intermediate that the root has signed elsewhere",
        scope: "ssl_certs:write",
        body: z.object({ certificates: z.string().max(262_144) }),
      },
      ({ caller, body }) =>
        step(caller, "import", (write) =>
          importAuthority(write, caller.accountId, (row) =>
            readSigned(
              body.certificates,
              { root: row.root, key: identities.waitingKey(row) },
              clock(),
            ),
          ),
        ),
    ),
    endpoint(
      {
        method: "post",
        path: `${path}/activate`,
        summary: "Issue from the prepared CA",
        scope: "ssl_certs:write",
      },
      ({ caller }) =>
        step(caller, "activate", (write) => activateAuthority(write, caller.accountId, clock())),
    ),
    endpoint(
      {
        method: "post",
        path: `${path}/retire`,
        summary: "Trust the replaced CAs no more",
        scope: "ssl_certs:write",
        body: forced,
      },
      ({ caller, body }) => {
        const { accountId } = caller;
        const force = body?.force ?? false;
        return step(caller, "retire", (write) =>
          retireAuthorities(write, { accountId, now: clock(), force }),
        );
      },
    ),
  ];
}

function shown({
  id,
  number,
  state,
  root,
  chain,
  sealedRootKey,
  ...row
}: IdentityAuthorityRow): object {
  const certificate = new X509Certificate(root);
  return {
    id,
    number,
    state,
    root,
    root_fingerprint: certificate.fingerprint256,
    root_expires_on: certificate.validToDate.toISOString(),
    root_key: sealedRootKey === null ? "offline" : "sealed",
    intermediate: chain,
    intermediate_expires_on:
      chain === null ? null : new X509Certificate(chain).validToDate.toISOString(),
    csr: chain === null ? row.csr : null,
    created_on: row.createdOn,
    changed_on: row.changedOn,
  };
}
