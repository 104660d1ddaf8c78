import { Failure } from "../failures.ts";
import type { Store } from "../store/store.ts";
import { findToken } from "../store/tokens.ts";
import { permits, type Scope } from "./scopes.ts";

/** Who sent a request. */
export interface Caller {
  readonly tokenId: string;
  readonly accountId: string;
  readonly email: string;
  readonly scopes: readonly string[];
  readonly expiresOn: string | null;
}

/**
 * @throws Failure `token_missing`, `token_malformed`, or `token_invalid` if it is unknown, revoked
 * or expired
 */
export async function authenticate(request: Request, store: Store, now: Date): Promise<Caller> {
  const header = request.headers.get("authorization");
  if (header === null) throw new Failure("token_missing");
  const token = /^bearer ([\x21-\x7e]{1,512})$/i.exec(header)?.[1];
  if (token === undefined) throw new Failure("token_malformed");
  const row = await findToken(store.db, token);
  if (!row || row.revokedOn !== null) throw new Failure("token_invalid");
  if (row.expiresOn !== null && new Date(row.expiresOn) <= now) throw new Failure("token_invalid");
  return {
    tokenId: row.id,
    accountId: row.accountId,
    email: row.email,
    scopes: JSON.parse(row.scopes) as string[],
    expiresOn: row.expiresOn,
  };
}

/**
 * An account that is not the caller's is refused like one that does not exist, so that ids of
 * others cannot be tried out.
 *
 * @throws Failure `not_permitted`, or `user_not_permitted` for what is about the user
 */
export function authorize(caller: Caller, scope: Scope | null, accountId?: string): void {
  if (accountId !== undefined && accountId !== caller.accountId) throw new Failure("not_permitted");
  if (scope === null || permits(caller.scopes, scope)) return;
  if (scope === "user:read") throw new Failure("user_not_permitted");
  throw new Failure("not_permitted", {
    message: `Authentication error: the token lacks the scope ${scope}`,
    facts: { scope },
  });
}
