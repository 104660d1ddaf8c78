import { Failure } from "../../failures/failures.ts";
import { type RequestIp, within } from "../../network/ranges.ts";
import type { TokenRow } from "../../store/schema.ts";
import { requestIpOf } from "../../store/access/tokens.ts";
import type { Caller } from "../api/auth.ts";
import { permits, type Scope } from "../api/scopes.ts";

/** What a token may do, until when, and from where. */
export interface Strength {
  readonly scopes: readonly string[];
  readonly expiresOn: Date | null;
  readonly requestIp: RequestIp | null;
}

/**
 * The limits of a token that `caller` makes: where the request leaves one open, the caller's own applies.
 * @throws Failure `token_exceeds_maker` if the token could do more, live longer, or be used from elsewhere
 */
export function keptWithin<T extends Strength>(caller: Caller, wanted: T): T {
  const limits = limitsOf(caller);
  const made = {
    ...wanted,
    expiresOn: wanted.expiresOn ?? limits.expiresOn,
    requestIp: inherited(wanted.requestIp, limits.requestIp),
  };
  assertWithin(caller, made);
  return made;
}

/** Nobody may read, change or revoke a token that can do more than their own. */
export function assertWithin(caller: Caller, { scopes, expiresOn, requestIp }: Strength): void {
  const limits = limitsOf(caller);
  const beyond = scopes.filter((scope) => !permits(caller.scopes, scope as Scope));
  if (beyond.length > 0) {
    throw exceeds(`the token would have ${beyond.join(", ")}, which the one in use has not`, {
      scopes: beyond,
    });
  }
  if (limits.expiresOn !== null && (expiresOn === null || expiresOn > limits.expiresOn)) {
    const end = limits.expiresOn.toISOString();
    throw exceeds(`the token would work after ${end}, when the one in use ends`, {
      expiresOn: end,
    });
  }
  if (limits.requestIp !== null && !within(requestIp ?? {}, limits.requestIp)) {
    throw exceeds("the token would work from addresses that the one in use does not work from", {
      requestIp: limits.requestIp,
    });
  }
}

/** Another token may be changed by a token that is at least as strong, but not by one that was made with it. */
export function assertMayTouch(
  caller: Caller,
  row: TokenRow,
  makers: readonly TokenRow[] | null,
): void {
  const { expiresOn } = row;
  assertWithin(caller, {
    scopes: row.scopes,
    expiresOn: expiresOn === null ? null : new Date(expiresOn),
    requestIp: requestIpOf(row),
  });
  if (caller.kind === "token" && makers?.some(({ id }) => id === row.id)) {
    throw exceeds("the token in use was made with it", { token: row.id });
  }
}

/** A person is limited by the role alone: the tokens that a login made belong to the person, not to the login. */
function limitsOf({ kind, expiresOn, requestIp }: Caller): {
  readonly expiresOn: Date | null;
  readonly requestIp: RequestIp | null;
} {
  if (kind === "user") return { expiresOn: null, requestIp: null };
  const isOpen = (requestIp.in ?? []).length === 0 && (requestIp.not_in ?? []).length === 0;
  return {
    expiresOn: expiresOn === null ? null : new Date(expiresOn),
    requestIp: isOpen ? null : requestIp,
  };
}

function inherited(wanted: RequestIp | null, limit: RequestIp | null): RequestIp | null {
  if (limit === null) return wanted;
  const allowed = wanted?.in?.length ? wanted.in : limit.in;
  const denied = [...new Set([...(wanted?.not_in ?? []), ...(limit.not_in ?? [])])];
  return { ...(allowed && { in: allowed }), ...(denied.length > 0 && { not_in: denied }) };
}

function exceeds(message: string, facts: Readonly<Record<string, unknown>>): Failure {
  return new Failure("token_exceeds_maker", { message, facts });
}
