import { findAccount } from "../store/accounts.ts";
import type { AccountRow } from "../store/schema.ts";
import { Failure } from "../failures.ts";
import type { Caller } from "./auth.ts";
import type { ControlContext } from "./context.ts";
import { endpoint, type Endpoint } from "./endpoint.ts";
import type { Answer } from "./envelope.ts";

/** Who one is and what one may use: `wrangler whoami`. */
export function accountEndpoints({ store }: ControlContext): readonly Endpoint[] {
  const own = async (caller: Caller): Promise<AccountRow> => {
    const account = await findAccount(store.db, caller.accountId);
    if (!account) throw new Failure("not_permitted");
    return account;
  };
  return [
    endpoint(
      {
        method: "get",
        path: "/user/tokens/verify",
        summary: "Is the token valid",
        scope: null,
      },
      ({ caller }) => ({
        result: {
          id: caller.tokenId,
          status: "active",
          ...(caller.expiresOn && { expires_on: caller.expiresOn }),
        },
        messages: ["This API Token is valid and active"],
      }),
    ),
    endpoint(
      { method: "get", path: "/user", summary: "Whose token it is", scope: "user:read" },
      ({ caller }) => ({ result: { id: caller.tokenId, email: caller.email } }),
    ),
    endpoint(
      {
        method: "get",
        path: "/accounts",
        summary: "The accounts the token reaches",
        scope: "account:read",
      },
      async ({ caller }) => list([accountOf(await own(caller))]),
    ),
    endpoint(
      {
        method: "get",
        path: "/accounts/{account_id}",
        summary: "One account",
        scope: "account:read",
      },
      async ({ caller }) => ({ result: accountOf(await own(caller)) }),
    ),
    endpoint(
      {
        method: "get",
        path: "/memberships",
        summary: "The caller's memberships of accounts",
        scope: "account:read",
      },
      async ({ caller }) => {
        const account = accountOf(await own(caller));
        return list([
          {
            id: account.id,
            status: "accepted",
            account,
            roles: ["Administrator"],
            permissions: {},
          },
        ]);
      },
    ),
  ];
}

function accountOf({
  id,
  name,
  createdOn,
}: AccountRow): { readonly id: string } & Record<string, string> {
  return { id, name, type: "standard", created_on: createdOn };
}

/** A list that is whole: there is no second page. */
export function list(items: readonly unknown[]): Answer {
  const count = items.length;
  return {
    result: items,
    resultInfo: {
      page: 1,
      per_page: Math.max(count, 20),
      count,
      total_count: count,
      total_pages: 1,
    },
  };
}
