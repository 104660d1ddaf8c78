import type { CallerFacts } from "./caller.ts";
import { canonicalPath, readPathPattern, type PathTest } from "./path.ts";
import { criteria, type Criterion, type Policy, type Rule } from "./policy.ts";
import { matchesPattern } from "./wildcards.ts";

export interface Action {
  readonly method: string;
  /** The request's target as received: with its query, not decoded. */
  readonly path: string;
}

export interface Decision {
  readonly allowed: boolean;
  readonly code: "allowed" | RefusalCode;
  /** One sentence: which rule allowed the request, or which was missing. */
  readonly reason: string;
  /** Index of the rule that allowed it. Null: none did. */
  readonly rule: number | null;
}

export type RefusalCode =
  | "certificate_missing"
  | "certificate_untrusted"
  | "certificate_authority_mismatch"
  | "certificate_expired"
  | "certificate_not_yet_valid"
  | "certificate_revoked"
  | "session_revoked"
  | "proxy_header_malformed"
  | "policy_missing"
  | "policy_empty"
  | "path_ambiguous"
  | "caller_not_named"
  | "method_not_allowed"
  | "path_not_allowed";

/** 401: the caller has to prove who it is. 403: the caller is known, and the policy does not allow the request. */
export function statusOf(code: RefusalCode): 401 | 403 {
  return /^(?:certificate|session|proxy)_/.test(code) ? 401 : 403;
}

/** Judges one request by a policy. Null, instead of a policy, denies. Never throws. */
export function decide(policy: Policy | null, caller: CallerFacts, action: Action): Decision {
  if (policy === null) return refused("policy_missing", "no policy is in force: nobody is let in");
  if (policy.allow.length === 0)
    return refused("policy_empty", "the policy has no rule: nobody is let in");
  const path = canonicalPath(action.path);
  const method = upperCase(action.method);
  const named = rulesFor(policy, caller);
  const allowing = named.find((one) => allowsMethod(one.rule, method) && allowsPath(one, path));
  if (allowing !== undefined) {
    return {
      allowed: true,
      code: "allowed",
      reason: `allow[${allowing.index}] lets ${describeCaller(caller)} in`,
      rule: allowing.index,
    };
  }
  const rules = named.map(({ rule }) => rule);
  const withMethod = rules.filter((rule) => allowsMethod(rule, method));
  return refusal(caller, { method, path }, rules, withMethod);
}

/** Like {@link decide}, without a reason. Never throws. */
export function isAllowed(policy: Policy | null, caller: CallerFacts, action: Action): boolean {
  return policy !== null && allows(rulesFor(policy, caller), action);
}

/** @param rules the rules of a policy that name the caller */
export function allows(rules: readonly NamedRule[], action: Action): boolean {
  if (rules.length === 0) return false;
  const path = canonicalPath(action.path);
  const method = upperCase(action.method);
  for (const one of rules) {
    if (allowsMethod(one.rule, method) && allowsPath(one, path)) return true;
  }
  return false;
}

const usual: ReadonlySet<string> = new Set(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]);

function upperCase(method: string): string {
  return usual.has(method) ? method : method.toUpperCase();
}

export interface NamedRule {
  readonly rule: Rule;
  /** The rule's index in the policy. */
  readonly index: number;
  /** Null: any. */
  readonly paths: readonly PathTest[] | null;
}

/** For each caller, the rules of the policy that it was last judged by. One connection is one caller. */
const judgedBy = new WeakMap<
  CallerFacts,
  { readonly policy: Policy; readonly rules: readonly NamedRule[] }
>();

/** The rules that name the caller. */
export function rulesFor(policy: Policy, caller: CallerFacts): readonly NamedRule[] {
  const known = judgedBy.get(caller);
  if (known?.policy === policy) return known.rules;
  const rules = policy.allow.flatMap((rule, index): NamedRule | [] =>
    namesCaller(rule, caller)
      ? { rule, index, paths: rule.paths?.map(readPathPattern) ?? null }
      : [],
  );
  judgedBy.set(caller, { policy, rules });
  return rules;
}

function allowsPath({ paths }: NamedRule, path: string | null): boolean {
  if (paths === null) return true;
  for (const matches of paths) if (matches(path)) return true;
  return false;
}

function refusal(
  caller: CallerFacts,
  { method, path }: { readonly method: string; readonly path: string | null },
  named: readonly Rule[],
  withMethod: readonly Rule[],
): Decision {
  const who = describeCaller(caller);
  if (named.length === 0) return refused("caller_not_named", `no rule names ${who}`);
  if (withMethod.length === 0) {
    const methods = [...new Set(named.flatMap((rule) => rule.methods ?? []))].join(", ");
    return refused("method_not_allowed", `${who} may ${methods}, and no rule lets it ${method}`);
  }
  if (path === null) {
    return refused(
      "path_ambiguous",
      `the path can be read in more than one way, and no rule lets ${who} ${method} every path`,
    );
  }
  const paths = [...new Set(withMethod.flatMap((rule) => rule.paths ?? []))].join(", ");
  return refused("path_not_allowed", `${who} may ${method} ${paths}, and no rule has this path`);
}

function refused(code: RefusalCode, reason: string): Decision {
  return { allowed: false, code, reason, rule: null };
}

function allowsMethod({ methods }: Rule, method: string): boolean {
  if (methods === undefined) return true;
  return methods.includes(method) || (method === "HEAD" && methods.includes("GET"));
}

function namesCaller(rule: Rule, caller: CallerFacts): boolean {
  return criteria.every((criterion) => {
    const wanted = rule[criterion];
    if (wanted === undefined) return true;
    const actual = factOf(criterion, caller);
    return actual !== null && wanted.some((pattern) => matchesPattern(pattern, actual));
  });
}

function factOf(criterion: Criterion, { certificate, ...caller }: CallerFacts): string | null {
  if (criterion === "subject" || criterion === "issuer" || criterion === "fingerprint") {
    return certificate[criterion] === "" ? null : certificate[criterion];
  }
  return caller[criterion];
}

/** Names the caller in messages: the shortest name that was proven. */
export function describeCaller(caller: CallerFacts): string {
  const { worker, account, environment, spiffeId, certificate } = caller;
  if (worker !== null) {
    const place = environment === null ? "" : ` (environment "${environment}")`;
    return `Worker "${worker}"${place} of account "${account}"`;
  }
  if (spiffeId !== null) return spiffeId;
  if (certificate.subject !== "") return `"${certificate.subject}"`;
  return `the certificate with SHA-256 ${certificate.fingerprint}`;
}
