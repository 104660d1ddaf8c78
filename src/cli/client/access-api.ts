import { permissionGroups, resourceName } from "../../control/access/permission-groups.ts";
import { isScope, notAScope, tokenScopes, type Role } from "../../control/api/scopes.ts";
import { Failure } from "../../failures/failures.ts";
import type { ApiClient } from "./api-client.ts";
import type { Ask } from "./platform-client.ts";

interface ApiToken {
  readonly id: string;
  readonly name: string;
  readonly status: string;
  readonly issued_on: string;
  readonly expires_on?: string;
  readonly policies: readonly { readonly permission_groups: readonly { readonly id: string }[] }[];
  readonly condition?: { readonly request_ip?: object };
}

interface WantedToken {
  readonly name: string;
  readonly account?: string;
  readonly role?: Role;
  readonly scopes?: readonly string[];
  readonly seconds: number | null;
  readonly requestIp?: object;
}

/** Sends requests about tokens, accounts and the audit log, which the admin socket would answer, to the v4 API. */
export function askOverApi(api: ApiClient): Ask {
  const tokens = async (): Promise<readonly ApiToken[]> =>
    (await api.callAbove<ApiToken[]>("GET", "/user/tokens")).result;
  const answer = async (method: string, path: string, body: unknown): Promise<unknown> => {
    const url = new URL(path, "http://platform");
    const [, what, id, how] = url.pathname.split("/").map(decodeURIComponent);
    if (what === "accounts" && method === "GET") return accounts(api);
    if (what === "audit" && method === "GET") return audit(api, url.searchParams);
    if (what === "tokens" && id === undefined) {
      return method === "GET" ? shown(api, await tokens()) : create(api, body as WantedToken);
    }
    if (what === "tokens" && id !== undefined) {
      const token = named(await tokens(), id);
      if (how === undefined) {
        await api.callAbove("DELETE", `/user/tokens/${token.id}`);
        return { id: token.id, name: token.name };
      }
      const rolled = await api.callAbove<string>("PUT", `/user/tokens/${token.id}/value`, {});
      return { id: token.id, token: rolled.result };
    }
    throw new Failure("internal", { message: `the API has no ${method} ${path}` });
  };
  return async <T>(method: string, path: string, body?: unknown) =>
    (await answer(method, path, body)) as T;
}

async function accounts(api: ApiClient): Promise<readonly ShownAccount[]> {
  return (await api.callAbove<ShownAccount[]>("GET", "/accounts")).result;
}

interface ShownAccount {
  readonly id: string;
  readonly name: string;
}

/** @throws Failure `account_not_found` */
async function accountId(api: ApiClient, wanted: string | undefined): Promise<string> {
  if (wanted === undefined) return api.accountId;
  const found = (await accounts(api)).find(({ id, name }) => id === wanted || name === wanted);
  if (found) return found.id;
  throw new Failure("account_not_found", { message: `there is no account "${wanted}"` });
}

async function create(api: ApiClient, wanted: WantedToken): Promise<object> {
  const scopes = wanted.scopes ?? tokenScopes[wanted.role ?? "deployer"] ?? [];
  const wrong = scopes.find((scope) => !isScope(scope));
  if (wrong !== undefined) throw new Failure("usage", { message: notAScope(wrong) });
  const account = await accountId(api, wanted.account);
  const { result } = await api.callAbove<{ id: string; value: string }>("POST", "/user/tokens", {
    name: wanted.name,
    policies: policiesOf(scopes, account),
    ...(wanted.seconds !== null && {
      expires_on: new Date(Date.now() + wanted.seconds * 1000).toISOString(),
    }),
    ...(wanted.requestIp && { condition: { request_ip: wanted.requestIp } }),
  });
  return { id: result.id, token: result.value };
}

function policiesOf(scopes: readonly string[], account: string): readonly object[] {
  const wanted = permissionGroups.filter(({ scope }) => scopes.includes(scope));
  const byResource = Map.groupBy(wanted, ({ resource }) => resource);
  return [...byResource].map(([resource, groups]) => ({
    effect: "allow",
    permission_groups: groups.map(({ id }) => ({ id })),
    resources: { [`${resourceName(resource)}.${resource === "account" ? account : "*"}`]: "*" },
  }));
}

async function shown(api: ApiClient, tokens: readonly ApiToken[]): Promise<readonly object[]> {
  const email = await api
    .callAbove<{ email: string }>("GET", "/user")
    .then(({ result }) => result.email)
    .catch(() => "–");
  return tokens.map(({ id, name, status, issued_on, expires_on, policies, condition }) => {
    const groups = new Set(policies.flatMap((policy) => policy.permission_groups.map((g) => g.id)));
    const scopes = permissionGroups.filter((group) => groups.has(group.id)).map((g) => g.scope);
    return {
      id,
      name,
      email,
      scopes: [...new Set(scopes)],
      createdOn: issued_on,
      expiresOn: expires_on ?? null,
      requestIp: condition?.request_ip ?? null,
      status,
    };
  });
}

/** @throws Failure `token_not_found` */
function named(tokens: readonly ApiToken[], wanted: string): ApiToken {
  const byId = tokens.find(({ id }) => id === wanted);
  const byName = tokens.filter(({ name }) => name === wanted);
  const found = byId ?? (byName.length === 1 ? byName[0] : undefined);
  if (found) return found;
  throw new Failure("token_not_found", {
    message:
      byName.length === 0
        ? `there is no API token "${wanted.slice(0, 100)}" of yours`
        : `${byName.length} API tokens have the name "${wanted.slice(0, 100)}"`,
  });
}

interface ApiLogEntry {
  readonly id: string;
  readonly when: string;
  readonly action: { readonly type: string };
  readonly actor: { readonly email: string; readonly type: string; readonly ip: string | null };
  readonly owner: { readonly id: string };
  readonly resource: { readonly type: string; readonly id: string };
  readonly metadata: {
    readonly name?: string;
    readonly fingerprint?: string;
    readonly sequence: number;
  };
  readonly oldValueJson?: object;
  readonly newValueJson?: object;
}

async function audit(api: ApiClient, asked: URLSearchParams): Promise<readonly object[]> {
  const account = await accountId(api, asked.get("account") ?? undefined);
  const query = new URLSearchParams({ per_page: asked.get("limit") ?? "50" });
  for (const [ours, theirs] of [
    ["email", "actor.email"],
    ["action", "action.type"],
  ] as const) {
    const value = asked.get(ours);
    if (value !== null) query.set(theirs, value);
  }
  const path = `/accounts/${account}/audit_logs?${query.toString()}`;
  const { result } = await api.callAbove<ApiLogEntry[]>("GET", path);
  return result.map((entry) => ({
    id: entry.id,
    sequence: entry.metadata.sequence,
    at: entry.when,
    by: { kind: entry.actor.type, email: entry.actor.email, address: entry.actor.ip },
    action: entry.action.type,
    accountId: entry.owner.id,
    resource: { ...entry.resource, name: entry.metadata.name ?? null },
    ...(entry.metadata.fingerprint && { fingerprint: entry.metadata.fingerprint }),
    ...(entry.oldValueJson && { before: entry.oldValueJson }),
    ...(entry.newValueJson && { after: entry.newValueJson }),
  }));
}
