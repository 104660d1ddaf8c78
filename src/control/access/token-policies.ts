import { z } from "@hono/zod-openapi";
import { createHash } from "node:crypto";
import { Failure } from "../../failures/failures.ts";
import type { TokenRow } from "../../store/schema.ts";
import { type PermissionGroup, permissionGroups, resourceName } from "./permission-groups.ts";
import type { Scope } from "../api/scopes.ts";

export interface SentPolicy {
  readonly effect: "allow" | "deny";
  readonly permission_groups: readonly { readonly id: string }[];
  readonly resources: Readonly<Record<string, unknown>>;
}

const LONGEST = 65_536;

export const policies: z.ZodType<SentPolicy[]> = z
  .array(
    z.object({
      effect: z.enum(["allow", "deny"]),
      permission_groups: z
        .array(z.object({ id: z.string().max(255) }))
        .min(1)
        .max(100),
      resources: z.record(z.string().max(200), z.unknown()),
    }),
  )
  .min(1)
  .max(50)
  // They are read with the token, at each of its calls.
  .refine((list) => JSON.stringify(list).length <= LONGEST, "are longer than 64 KiB");

export interface TokenPolicy {
  /** 32 hex digits. */
  readonly id: string;
  readonly effect: "allow";
  readonly permission_groups: readonly { readonly id: string; readonly name: string }[];
  readonly resources: Readonly<Record<string, unknown>>;
}

export interface Granted {
  readonly scopes: readonly Scope[];
  readonly policies: readonly TokenPolicy[];
}

/**
 * Translates Cloudflare's policies into the scopes of a token for one account.
 *
 * @throws Failure `token_policy_unsupported` for a denial, an unknown group or a single zone; `not_permitted` for
 * another account
 */
export function readPolicies(list: readonly SentPolicy[], accountId: string): Granted {
  const scopes = new Set<Scope>();
  const read = list.map(({ effect, permission_groups: groups, resources }, index): TokenPolicy => {
    if (effect === "deny") throw unsupported("a policy of effect deny");
    for (const name of Object.keys(resources)) assertResource(name, resources[name], accountId);
    const known = groups.map(({ id }) => groupOf(id));
    for (const { scope } of known) scopes.add(scope);
    return {
      id: idOf(JSON.stringify([index, resources])),
      effect: "allow",
      permission_groups: known.map(({ id, name }) => ({ id, name })),
      resources,
    };
  });
  return { scopes: [...scopes], policies: read };
}

/** The account that the policies name. Undefined: they name none, or all. */
export function accountInPolicies(list: readonly SentPolicy[]): string | undefined {
  const names = list.flatMap(({ resources }) => Object.keys(resources));
  return names.flatMap(
    (name) => /^com\.cloudflare\.api\.account\.([0-9a-f]{32})$/.exec(name)?.[1] ?? [],
  )[0];
}

/** A token's policies as they were sent, or derived from its scopes. */
export function shownPolicies(token: TokenRow): readonly TokenPolicy[] {
  if (token.policies !== null) return token.policies as readonly TokenPolicy[];
  const scopes = token.scopes;
  const groups = permissionGroups.filter(({ scope }) => scopes.includes(scope));
  const kinds = ["account", "account.zone", "user"] as const;
  return kinds.flatMap((kind) => {
    const those = groups.filter(({ resource }) => resource === kind);
    if (those.length === 0) return [];
    const resource = {
      account: `${resourceName("account")}.${token.accountId}`,
      "account.zone": `${resourceName("account.zone")}.*`,
      user: `${resourceName("user")}.${token.userId ?? token.accountId}`,
    }[kind];
    return {
      id: idOf(`${token.id}/${kind}`),
      effect: "allow",
      permission_groups: those.map(({ id, name }) => ({ id, name })),
      resources: { [resource]: "*" },
    };
  });
}

function groupOf(id: string): PermissionGroup {
  const group = permissionGroups.find((known) => known.id === id);
  if (group) return group;
  throw unsupported(`the permission group "${id.slice(0, 64)}"`);
}

function assertResource(name: string, value: unknown, accountId: string): void {
  const [, kind, id = ""] =
    /^com\.cloudflare\.api\.(account\.zone|account|user)\.(.+)$/.exec(name) ?? [];
  if (kind === "account" && id !== "*" && id !== accountId) throw new Failure("not_permitted");
  const whole = value === "*" || isWildcard(value);
  if (kind === undefined || !whole || (kind === "account.zone" && id !== "*")) {
    throw unsupported(`the resource "${name}"`);
  }
}

/** Cloudflare nests zones in an account: `{"com.cloudflare.api.account.zone.*": "*"}`. */
function isWildcard(value: unknown): boolean {
  if (typeof value !== "object" || value === null) return false;
  const entries = Object.entries(value);
  return entries.length > 0 && entries.every(([k, v]) => k.endsWith(".*") && v === "*");
}

function unsupported(what: string): Failure {
  return new Failure("token_policy_unsupported", {
    message: `${what} is not something a token can have here`,
  });
}

function idOf(text: string): string {
  return createHash("sha256").update(text).digest("hex").slice(0, 32);
}
