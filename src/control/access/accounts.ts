import { list, paged, pageOf } from "../api/envelope.ts";
import { findAccount } from "../../store/accounts.ts";
import type { AccountRow } from "../../store/schema.ts";
import { Failure } from "../../failures/failures.ts";
import type { Caller } from "../api/auth.ts";
import type { ControlContext } from "../api/context.ts";
import { endpoint, type Endpoint } from "../api/endpoint.ts";
import type { Role } from "../api/scopes.ts";

const roleTitles: Readonly<Record<Role, string>> = {
  admin: "Administrator",
  deployer: "Deployer",
  viewer: "Viewer",
};

/** Who one is and what one may use: `wrangler whoami`. */
export function accountEndpoints({ store }: ControlContext): readonly Endpoint[] {
  const reached = async ({ reach }: Caller): Promise<(AccountRow & { role: Role })[]> => {
    const rows = await Promise.all(
      reach.map(async ({ accountId, role }) => {
        const account = await findAccount(store.db, accountId);
        return account ? [{ ...account, role }] : [];
      }),
    );
    return rows.flat();
  };
  return [
    endpoint(
      { method: "get", path: "/user", summary: "Whose token it is", scope: "user:read" },
      ({ caller }) => ({ result: { id: caller.userId ?? caller.tokenId, email: caller.email } }),
    ),
    endpoint(
      {
        method: "get",
        path: "/accounts",
        summary: "The accounts the token reaches",
        // wrangler asks for it after an error, whatever its token may do, and ends without an answer.
        scope: null,
        query: paged,
      },
      async ({ caller, query }) => list((await reached(caller)).map(accountOf), pageOf(query)),
    ),
    endpoint(
      {
        method: "get",
        path: "/accounts/{account_id}",
        summary: "One account",
        scope: "account:read",
      },
      async ({ caller }) => {
        const account = await findAccount(store.db, caller.accountId);
        if (!account) throw new Failure("not_permitted");
        return { result: accountOf(account) };
      },
    ),
    endpoint(
      {
        method: "get",
        path: "/memberships",
        summary: "The caller's memberships of accounts",
        scope: "account:read",
        query: paged,
      },
      async ({ caller, query }) => {
        const accounts = await reached(caller);
        return list(
          accounts.map((account) => ({
            id: account.id,
            status: "accepted",
            account: accountOf(account),
            roles: [roleTitles[account.role]],
            permissions: {},
          })),
          pageOf(query),
        );
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
