import { z } from "@hono/zod-openapi";
import { list } from "../api/envelope.ts";
import { findAccount } from "../../store/access/accounts.ts";
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

/** The caller and the accounts that it may use: `wrangler whoami`. */
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
        // No scope: wrangler asks for this after an error, whatever its token may do, and fails without an answer.
        scope: null,
        query: z.object({ name: z.string().optional() }),
      },
      async ({ caller, query }) =>
        list((await reached(caller)).filter(isNamed(query.name)).map(accountOf)),
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
        // wrangler takes an account from this list if none is configured.
        scope: null,
        query: z.object({
          name: z.string().optional(),
          "account.name": z.string().optional(),
          status: z.string().optional(),
        }),
      },
      async ({ caller, query }) => {
        const all = await reached(caller);
        const name = query["account.name"] ?? query.name;
        const isAccepted = (query.status ?? "accepted") === "accepted";
        const accounts = isAccepted ? all.filter(isNamed(name)) : [];
        return list(
          accounts.map((account) => ({
            id: account.id,
            status: "accepted",
            account: accountOf(account),
            roles: [roleTitles[account.role]],
            permissions: {},
          })),
        );
      },
    ),
  ];
}

function isNamed(wanted: string | undefined): (account: { readonly name: string }) => boolean {
  return ({ name }) => wanted === undefined || name === wanted;
}

function accountOf({
  id,
  name,
  createdOn,
}: AccountRow): { readonly id: string } & Record<string, string> {
  return { id, name, type: "standard", created_on: createdOn };
}
