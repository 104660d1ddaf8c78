import { Failure } from "../../failures/failures.ts";
import type { Keyring } from "../../keys/seal.ts";
import type { Actor } from "../../store/access/audit.ts";
import { findAccessToken } from "../../store/access/oauth.ts";
import type { Database } from "../../store/database.ts";
import type { Store } from "../../store/store.ts";
import type { TokenRow } from "../../store/schema.ts";
import { findToken, makersOf, requestIpOf } from "../../store/access/tokens.ts";
import { findUser, membershipsOf } from "../../store/access/users.ts";
import { allowsAddress, type RequestIp } from "../../network/ranges.ts";
import { common, permits, roleScopes, type Role, type Scope } from "./scopes.ts";

/** The sender of a request, and what the sender may do in which account. */
export interface Identity {
  /** `user`: a person who signed in; `token`: an API token. */
  readonly kind: "user" | "token";
  readonly tokenId: string;
  /** The person. Null: the token belongs to the account. */
  readonly userId: string | null;
  readonly email: string;
  /** The client's IP address. Null: not known. */
  readonly address: string | null;
  readonly expiresOn: string | null;
  /** Addresses from which the token may be used. Empty: from anywhere. */
  readonly requestIp: RequestIp;
  readonly reach: readonly Reach[];
}

export interface Reach {
  readonly accountId: string;
  readonly role: Role;
  /** What both the token and the person's role allow. */
  readonly scopes: readonly string[];
}

/** The sender of an authorized request, with the account that it is about. */
export interface Caller extends Identity {
  readonly accountId: string;
  readonly scopes: readonly string[];
}

/**
 * @throws Failure `token_missing`, `token_malformed`, `token_wrong_address`, or `token_invalid` if the token is
 * unknown, revoked, disabled, expired or not yet valid
 */
export async function authenticate(
  authorization: string | null,
  { address, store, keyring, now }: Circumstances & { store: Store; keyring: Keyring },
): Promise<Identity> {
  if (authorization === null) throw new Failure("token_missing");
  const token = /^bearer ([\x21-\x7e]{1,512})$/i.exec(authorization)?.[1];
  if (token === undefined) throw new Failure("token_malformed");
  const identity = token.startsWith("csn_")
    ? await byApiToken(store, token, { address, now })
    : await byLogin(store, token, { address, now, keyring });
  if (!identity) throw new Failure("token_invalid");
  return identity;
}

interface Circumstances {
  readonly address: string | null;
  readonly now: Date;
}

async function byApiToken(
  { db }: Store,
  token: string,
  { address, now }: Circumstances,
): Promise<Identity | null> {
  const row = await findToken(db, token);
  if (!row || !isInForce(row, now)) return null;
  // A token never allows more than the tokens from which it was made allow now.
  const makers = await makersOf(db, row);
  if (makers === null || !makers.every((maker) => isInForce(maker, now))) return null;
  const chain = [row, ...makers];
  if (!chain.every((each) => allowsAddress(requestIpOf(each), address))) {
    throw new Failure("token_wrong_address", {
      message: `Cannot use the access token from location: ${address ?? "unknown"}`,
      facts: { address },
    });
  }
  const given = chain.map(({ scopes }) => scopes).reduce((all, scopes) => common(all, scopes));
  const roles = await Promise.all(chain.map(({ userId }) => roleIn(db, row.accountId, userId)));
  if (!roles.every((role) => role !== null)) return null;
  const role = weakest(roles);
  return {
    kind: "token",
    tokenId: row.id,
    userId: row.userId,
    email: row.email,
    address,
    expiresOn: earliest(chain.map(({ expiresOn }) => expiresOn)),
    requestIp: requestIpOf(row),
    reach: [{ accountId: row.accountId, role, scopes: common(given, roleScopes[role]) }],
  };
}

/** A token without a person is the account's own, and counts as an admin. Null: the person is not in the account. */
async function roleIn(
  db: Database,
  accountId: string,
  userId: string | null,
): Promise<Role | null> {
  if (userId === null) return "admin";
  const memberships = await membershipsOf(db, userId);
  return memberships.find((membership) => membership.accountId === accountId)?.role ?? null;
}

function weakest(roles: readonly Role[]): Role {
  return (["viewer", "deployer"] as const).find((role) => roles.includes(role)) ?? "admin";
}

function isInForce({ revokedOn, disabled, expiresOn, notBefore }: TokenRow, now: Date): boolean {
  if (revokedOn !== null || disabled === 1) return false;
  if (expiresOn !== null && new Date(expiresOn) <= now) return false;
  return notBefore === null || new Date(notBefore) <= now;
}

function earliest(ends: readonly (string | null)[]): string | null {
  const known = ends.flatMap((end) => end ?? []).toSorted((a, b) => Date.parse(a) - Date.parse(b));
  return known[0] ?? null;
}

async function byLogin(
  { db }: Store,
  token: string,
  { address, now, keyring }: Circumstances & { readonly keyring: Keyring },
): Promise<Identity | null> {
  const found = await findAccessToken(db, keyring, token);
  if (!found || new Date(found.expiresOn) <= now) return null;
  const user = await findUser(db, found.userId);
  const memberships = user ? await membershipsOf(db, user.id) : [];
  if (!user || memberships.length === 0) return null;
  return {
    kind: "user",
    tokenId: found.id,
    userId: user.id,
    email: user.email,
    address,
    expiresOn: found.expiresOn,
    requestIp: {},
    reach: memberships.map(({ accountId, role }) => ({
      accountId,
      role,
      scopes: common(found.scopes, roleScopes[role]),
    })),
  };
}

/**
 * Decides whether the caller may do this. An account that the caller does not reach is refused like one that does not
 * exist, so nobody can find out ids of others.
 *
 * @param accountId of the request. Undefined: it names none, and is about the first account that the caller reaches
 * @throws Failure `not_permitted`, or `user_not_permitted` for scopes of the user
 */
export function authorize(identity: Identity, scope: Scope | null, accountId?: string): Caller {
  const reached =
    accountId === undefined
      ? identity.reach[0]
      : identity.reach.find((reach) => reach.accountId === accountId);
  if (!reached) throw new Failure("not_permitted");
  const { scopes, role } = reached;
  if (scope === null || permits(scopes, scope)) {
    return { ...identity, accountId: reached.accountId, scopes };
  }
  if (scope === "user:read") throw new Failure("user_not_permitted");
  if (!permits(roleScopes[role], scope)) {
    throw new Failure("not_permitted", {
      message: `Authentication error: your role, ${role}, does not include ${scope}`,
      fix: `Ask an admin of the account to do it, or for a role that includes ${scope}: \`countersign user role\`.`,
      facts: { scope, role },
    });
  }
  throw new Failure("not_permitted", {
    message: `Authentication error: the token lacks the scope ${scope}`,
    facts: { scope },
  });
}

/** A caller without an API token, which may do nothing. */
export function nobody(address: string | null, accountId: string): Caller {
  const identity = { kind: "token", tokenId: "", userId: null, email: "", address } as const;
  return { ...identity, expiresOn: null, requestIp: {}, reach: [], accountId, scopes: [] };
}

/** @throws Failure `not_permitted` if the caller is not an admin of the request's account */
export function assertAdmin({ accountId, reach }: Caller): void {
  const role = reach.find((reached) => reached.accountId === accountId)?.role;
  if (role === "admin") return;
  throw new Failure("not_permitted", {
    message: `Authentication error: your role, ${role ?? "none"}, does not include what belongs to the account itself`,
    fix: "Ask an admin of the account to do it, or use a token of your own: /user/tokens.",
    facts: { role },
  });
}

/** The caller as the audit log names it. */
export function actorOf({ kind, userId, tokenId, email, address }: Identity): Actor {
  return { kind, id: kind === "user" ? userId : tokenId, email, address };
}

/** The owner of the data folder, who uses the admin socket in it. */
export const ownerOfData: Actor = {
  kind: "admin",
  id: null,
  email: "admin@localhost",
  address: null,
};
