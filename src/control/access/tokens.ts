import { z } from "@hono/zod-openapi";
import { Failure } from "../../failures/failures.ts";
import type { Audit, AuditAction } from "../../store/access/audit.ts";
import type { TokenRow } from "../../store/schema.ts";
import type { Database } from "../../store/database.ts";
import {
  countTokens,
  createToken,
  findTokenById,
  listTokens,
  makersOf,
  MOST_MAKERS,
  requestIpOf,
  revokeToken,
  rollToken,
  updateToken,
} from "../../store/access/tokens.ts";
import { list } from "../api/envelope.ts";
import { isCidr } from "../../network/ranges.ts";
import { actorOf, assertAdmin, authorize, type Caller } from "../api/auth.ts";
import type { ControlContext } from "../api/context.ts";
import { endpoint, type Endpoint } from "../api/endpoint.ts";
import { assertFits } from "../api/room.ts";
import { permissionGroups, resourceName } from "./permission-groups.ts";
import { accountInPolicies, policies, readPolicies, shownPolicies } from "./token-policies.ts";
import { assertMayTouch, keptWithin } from "./token-limits.ts";

const cidrs = z.array(z.string().refine(isCidr, "is not an IP address or a CIDR")).max(100);
const moment = z.iso.datetime({ offset: true }).nullish();
const wanted = z.object({
  name: z.string().trim().min(1).max(120),
  policies,
  not_before: moment,
  expires_on: moment,
  condition: z
    .object({ request_ip: z.object({ in: cidrs.optional(), not_in: cidrs.optional() }).optional() })
    .nullish(),
});
const changed = wanted.extend({ status: z.enum(["active", "disabled"]).optional() });

/** An endpoint for tokens, and the owner of the tokens that it manages. */
interface Owner {
  readonly path: string;
  /** @throws Failure `not_permitted` if the caller may not see these tokens */
  readonly assertMay: (caller: Caller) => void;
  readonly isOwn: (row: TokenRow, caller: Caller) => boolean;
  /** Null: the tokens belong to the account. */
  readonly userId: (caller: Caller) => string | null;
}

/** A person's tokens are visible to the person only; a token of the account sees the account's tokens. */
const callers: Owner = {
  path: "/user/tokens",
  assertMay: () => {},
  isOwn: (row, { userId }) => row.userId === userId,
  userId: ({ userId }) => userId,
};

/** An account's tokens outlive the person who made them, so only admins manage them. */
const accounts: Owner = {
  path: "/accounts/{account_id}/tokens",
  assertMay: assertAdmin,
  isOwn: (row, { accountId }) => row.userId === null && row.accountId === accountId,
  userId: () => null,
};

/** API tokens of people and of accounts, in the form that the `cloudflare` SDK, Terraform and the dashboard use. */
export function tokenEndpoints(context: ControlContext): readonly Endpoint[] {
  return [callers, accounts].flatMap((owner) => endpointsOf(owner, context));
}

function endpointsOf(owner: Owner, { store, clock }: ControlContext): readonly Endpoint[] {
  const { path } = owner;
  const one = `${path}/{token_id}`;
  const existing = async (db: Database, caller: Caller, id = ""): Promise<TokenRow> => {
    owner.assertMay(caller);
    const row = await findTokenById(db, id);
    if (row && isReached(row, caller) && owner.isOwn(row, caller)) return row;
    throw new Failure("token_not_found", {
      message: `there is no API token "${id.slice(0, 100)}"`,
    });
  };
  return [
    endpoint(
      { method: "get", path: `${path}/verify`, summary: "Is the token valid", scope: null },
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
      {
        method: "get",
        path: `${path}/permission_groups`,
        summary: "What tokens can be given",
        scope: "api_tokens:read",
        query: groupFilter,
      },
      ({ query }) =>
        list(
          permissionGroups
            .map(({ id, name, resource }) => ({ id, name, scopes: [resourceName(resource)] }))
            .filter(
              ({ name, scopes }) =>
                isNamed(name, query.name) &&
                (query.scope === undefined || scopes.some((scope) => isNamed(scope, query.scope))),
            ),
        ),
    ),
    endpoint(
      {
        method: "get",
        path,
        summary: "List API tokens",
        scope: "api_tokens:read",
      },
      async ({ caller }) => {
        owner.assertMay(caller);
        const rows = await tokensIn(store.db, caller);
        const own = rows.filter((row) => owner.isOwn(row, caller));
        return list(own.map((row) => shown(row, clock())));
      },
    ),
    endpoint(
      {
        method: "post",
        path,
        summary: "Make an API token",
        scope: "api_tokens:write",
        body: wanted,
      },
      async ({ caller, params, body }) => {
        owner.assertMay(caller);
        const accountId = params["account_id"] ?? accountInPolicies(body.policies);
        const maker = authorize(caller, "api_tokens:write", accountId);
        const columns = columnsOf(body, maker);
        const { value } = await store.write(async ({ db }) => {
          if (caller.kind === "token" && (await makersIn(db, caller)).length >= MOST_MAKERS) {
            throw new Failure("token_exceeds_maker", {
              message: `the token in use is the ${MOST_MAKERS}th of tokens that were made with each other`,
            });
          }
          assertFits("tokens", (await countTokens(db, maker.accountId)) + 1);
          const { id, token } = await createToken(db, {
            ...columns,
            madeBy: caller.kind === "token" ? caller.tokenId : null,
            accountId: maker.accountId,
            userId: owner.userId(caller),
            email: caller.email,
            now: clock(),
          });
          const row = await existing(db, caller, id);
          return {
            value: { ...shown(row, clock()), value: token },
            audit: { ...auditOf(caller, "token.create", row), after: facts(row) },
          };
        });
        return { result: value };
      },
    ),
    endpoint(
      { method: "get", path: one, summary: "One API token", scope: "api_tokens:read" },
      async ({ caller, params }) => ({
        result: shown(await existing(store.db, caller, params["token_id"]), clock()),
      }),
    ),
    endpoint(
      {
        method: "put",
        path: one,
        summary: "Change an API token",
        scope: "api_tokens:write",
        body: changed,
      },
      async ({ caller, params, body }) => {
        const { value } = await store.write(async ({ db }) => {
          const before = await existing(db, caller, params["token_id"]);
          const maker = authorize(caller, "api_tokens:write", before.accountId);
          const { name, ...columns } = columnsOf(body, maker);
          assertMayTouch(maker, before, await makersIn(db, caller));
          await updateToken(db, before.id, {
            name,
            scopes: columns.scopes,
            policies: columns.policies ?? null,
            notBefore: columns.notBefore?.toISOString() ?? null,
            expiresOn: columns.expiresOn?.toISOString() ?? null,
            requestIp: columns.requestIp ?? null,
            ...(body.status && { disabled: body.status === "disabled" ? 1 : 0 }),
            now: clock(),
          });
          const row = await existing(db, caller, before.id);
          return {
            value: shown(row, clock()),
            audit: {
              ...auditOf(caller, "token.update", row),
              before: facts(before),
              after: facts(row),
            },
          };
        });
        return { result: value };
      },
    ),
    endpoint(
      {
        method: "put",
        path: `${one}/value`,
        summary: "Give an API token another value",
        scope: "api_tokens:write",
      },
      async ({ caller, params }) => {
        const { value } = await store.write(async ({ db }) => {
          const row = await existing(db, caller, params["token_id"]);
          const roller = authorize(caller, "api_tokens:write", row.accountId);
          assertMayTouch(roller, row, await makersIn(db, caller));
          const token = await rollToken(db, row.id, clock());
          return { value: token, audit: auditOf(caller, "token.roll", row) };
        });
        return { result: value };
      },
    ),
    endpoint(
      { method: "delete", path: one, summary: "Revoke an API token", scope: "api_tokens:write" },
      async ({ caller, params }) => {
        const { value } = await store.write(async ({ db }) => {
          const row = await existing(db, caller, params["token_id"]);
          const revoker = authorize(caller, "api_tokens:write", row.accountId);
          assertMayTouch(revoker, row, await makersIn(db, caller));
          await revokeToken(db, row.id, clock());
          return {
            value: { id: row.id },
            audit: { ...auditOf(caller, "token.delete", row), before: facts(row) },
          };
        });
        return { result: value };
      },
    ),
  ];
}

const groupFilter = z.object({ name: z.string().optional(), scope: z.string().optional() });

/** Terraform's documentation URL-encodes filters once more than the rest of the query. */
function isNamed(name: string, asked: string | undefined): boolean {
  return asked === undefined || asked === name || asked === encodeURIComponent(name);
}

/** All tokens, of any owner, of the accounts that the caller reaches. */
async function tokensIn(db: Database, caller: Caller): Promise<TokenRow[]> {
  const rows = await Promise.all(caller.reach.map(({ accountId }) => listTokens(db, accountId)));
  return rows.flat().filter((row) => isReached(row, caller));
}

function isReached(row: TokenRow, { reach }: Caller): boolean {
  return row.revokedOn === null && reach.some(({ accountId }) => accountId === row.accountId);
}

function columnsOf(
  { name, policies: sent, not_before, expires_on, condition }: z.output<typeof wanted>,
  caller: Caller,
): Pick<
  Parameters<typeof createToken>[1],
  "name" | "scopes" | "policies" | "expiresOn" | "notBefore" | "requestIp"
> {
  const granted = readPolicies(sent, caller.accountId);
  return keptWithin(caller, {
    name,
    ...granted,
    notBefore: not_before ? new Date(not_before) : null,
    expiresOn: expires_on ? new Date(expires_on) : null,
    requestIp: condition?.request_ip ?? null,
  });
}

/** The tokens from which the caller's token was made, nearest first. */
async function makersIn(db: Database, caller: Caller): Promise<TokenRow[]> {
  const row = caller.kind === "token" ? await findTokenById(db, caller.tokenId) : undefined;
  return row ? ((await makersOf(db, row)) ?? []) : [];
}

function auditOf(caller: Caller, action: AuditAction, { id, name, accountId }: TokenRow): Audit {
  return { by: actorOf(caller), action, accountId, resource: { type: "token", id, name } };
}

/** What the audit log records of a token; never its value. */
function facts(row: TokenRow): Record<string, unknown> {
  return {
    name: row.name,
    scopes: row.scopes,
    notBefore: row.notBefore,
    expiresOn: row.expiresOn,
    requestIp: requestIpOf(row),
    disabled: row.disabled === 1,
  };
}

function shown(row: TokenRow, now: Date): object {
  const expired = row.expiresOn !== null && new Date(row.expiresOn) <= now;
  const requestIp = requestIpOf(row);
  return {
    id: row.id,
    name: row.name,
    status: expired ? "expired" : row.disabled === 1 ? "disabled" : "active",
    issued_on: row.createdOn,
    modified_on: row.modifiedOn,
    ...(row.notBefore && { not_before: row.notBefore }),
    ...(row.expiresOn && { expires_on: row.expiresOn }),
    policies: shownPolicies(row),
    ...(row.requestIp !== null && { condition: { request_ip: requestIp } }),
  };
}
