import { z } from "@hono/zod-openapi";
import { applyChange } from "../api/apply-change.ts";
import { findAccount, setIdentityEnvironments } from "../../store/access/accounts.ts";
import type { Database } from "../../store/database.ts";
import { actorOf } from "../api/auth.ts";
import type { ControlContext } from "../api/context.ts";
import { endpoint, type Endpoint } from "../api/endpoint.ts";

type Settings = {
  /** Whether identities name the environment that each Worker was deployed to. */
  readonly environments: boolean;
};

/** How an account's identities are made. */
export function identitySettingsEndpoints({ store, edge }: ControlContext): readonly Endpoint[] {
  const path = "/accounts/{account_id}/countersign/identity/settings";
  return [
    endpoint(
      { method: "get", path, summary: "How identities are made", scope: "ssl_certs:read" },
      async ({ caller: { accountId } }) => ({ result: await settingsOf(store.db, accountId) }),
    ),
    endpoint(
      {
        method: "patch",
        path,
        summary: "Name environments in identities, or not",
        scope: "ssl_certs:write",
        body: z.object({ environments: z.boolean().optional() }),
      },
      async ({ caller, body }) => {
        const { accountId } = caller;
        const result = await applyChange({ store, edge }, async ({ db, changed }) => {
          const before = await settingsOf(db, accountId);
          const after = { environments: body.environments ?? before.environments };
          if (after.environments !== before.environments) {
            await setIdentityEnvironments(db, accountId, after.environments);
            await changed({ kind: "identities", accountId });
          }
          return {
            value: after,
            audit: {
              by: actorOf(caller),
              action: "identity.settings",
              accountId,
              resource: { type: "account", id: accountId },
              before,
              after,
            },
          };
        });
        return { result };
      },
    ),
  ];
}

async function settingsOf(db: Database, accountId: string): Promise<Settings> {
  return { environments: (await findAccount(db, accountId))?.identityEnvironments === 1 };
}
