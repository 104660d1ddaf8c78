import type { CallerFacts } from "./caller.ts";
import { canonicalPath, pathMatches } from "./path.ts";
import { criteria, type Criterion, type Policy, type Rule } from "./policy.ts";

export interface Action {
  readonly method: string;
  /** The request's target, as it came: with its query, not decoded. */
  readonly path: string;
}

export interface Decision {
  readonly allowed: boolean;
  readonly code: "allowed" | RefusalCode;
  /** One sentence: which rule let it in, or which was missing. */
  readonly reason: string;
  /** Index of the rule that allowed it. Null: none did. */
  readonly rule: number | null;
}

export type RefusalCode =
  | "certificate_missing"
  | "certificate_untrusted"
  | "certificate_expired"
  | "certificate_revoked"
  | "proxy_header_malformed"
  | "policy_missing"
  | "policy_empty"
  | "path_ambiguous"
  | "caller_not_named"
  | "method_not_allowed"
  | "path_not_allowed";

/** 401: prove who you are. 403: we know, and the policy does not let you. */
export function statusOf(code: RefusalCode): 401 | 403 {
  return code.startsWith("certificate_") || code.startsWith("proxy_") ? 401 : 403;
}

/** What a policy says of one request. Null: there is no policy, which denies. Never throws. */
export function decide(policy: Policy | null, caller: CallerFacts, action: Action): Decision {
  if (policy === null) return refused("policy_missing", "no policy is in force: nobody is let in");
  if (policy.allow.length === 0)
    return refused("policy_empty", "the policy has no rule: nobody is let in");
  const path = canonicalPath(action.path);
  const method = action.method.toUpperCase();
  const named = policy.allow.filter((rule) => namesCaller(rule, caller));
  const withMethod = named.filter((rule) => allowsMethod(rule, method));
  const rule = withMethod.find(({ paths }) => paths?.some((one) => pathMatches(one, path)) ?? true);
  if (rule !== undefined) {
    const index = policy.allow.indexOf(rule);
    return {
      allowed: true,
      code: "allowed",
      reason: `allow[${index}] lets ${describeCaller(caller)} in`,
      rule: index,
    };
  }
  return refusal(caller, { method, path }, named, withMethod);
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

/** `*`: any characters but `/`. `**`: any. All others stand for themselves. */
export function matchesPattern(pattern: string, text: string): boolean {
  if (!pattern.includes("*")) return pattern === text;
  return compiled(pattern).test(text);
}

const patterns = new Map<string, RegExp>();

function compiled(pattern: string): RegExp {
  let regex = patterns.get(pattern);
  if (regex === undefined) {
    const source = pattern
      .split(/(\*+)/)
      .map((part) =>
        part.startsWith("*")
          ? part.length > 1
            ? ".*"
            : "[^/]*"
          : part.replaceAll(/[.*+?^${}()|[\]\\/]/g, "\\$&"),
      )
      .join("");
    regex = new RegExp(`^${source}$`, "su");
    // Patterns are the policy's own: few. A bound for one that changes for ever.
    if (patterns.size >= 10_000) patterns.clear();
    patterns.set(pattern, regex);
  }
  return regex;
}

/** For messages: the shortest name that is certain. */
export function describeCaller({ worker, account, spiffeId, certificate }: CallerFacts): string {
  if (worker !== null) return `Worker "${worker}" of account "${account}"`;
  if (spiffeId !== null) return spiffeId;
  if (certificate.subject !== "") return `"${certificate.subject}"`;
  return `the certificate with SHA-256 ${certificate.fingerprint}`;
}
