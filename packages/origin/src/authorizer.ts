import { callerOf, type Caller, type CallerFacts } from "./caller.ts";
import {
  decide,
  allows,
  describeCaller,
  rulesFor,
  statusOf,
  type Action,
  type Decision,
  type NamedRule,
  type RefusalCode,
} from "./decide.ts";
import { parsePolicy, type Policy } from "./policy.ts";

/** A policy as an object or as JSON, or an object whose `policy` is the one in force at each request. */
export type PolicySource = Policy | string | { readonly policy: Policy | null };

export interface AuthorizerOptions {
  /** Report requests that would be refused, and let them through. Default: false. */
  readonly dryRun?: boolean;
  /** Called with a refusal once for each caller and code. Default: `console.warn`. */
  readonly log?: (message: string, refusal: Refusal) => void;
  /** Called with every decision. It must not throw. */
  readonly onDecision?: (decision: DecisionMade) => void;
}

export interface Refusal {
  readonly status: 401 | 403;
  readonly code: RefusalCode;
  /** Says to the caller which rule was missing. */
  readonly reason: string;
}

export interface DecisionMade extends Decision, Action {
  /** As messages name the caller: `Worker "billing" of account "acme"`. Null: no caller was proven. */
  readonly caller: string | null;
  readonly dryRun: boolean;
}

/** How often one caller got one answer. */
export interface DecisionCount {
  readonly caller: string | null;
  readonly code: Decision["code"];
  readonly count: number;
}

/** What is known of a request before the policy is asked: a proven caller, or the reason why none is proven. */
export type Proof = CallerFacts | RefusalCode;

interface Count {
  readonly caller: string | null;
  readonly code: Decision["code"];
  count: number;
}

interface Known {
  readonly caller: Caller;
  /** How often the caller was let in. Null: never yet, or there are more callers than are remembered. */
  allowed: Count | null;
  /** The policy that the caller was last judged by, and that policy's rules that name the caller. */
  policy: Policy | null;
  rules: readonly NamedRule[];
}

function countKey(caller: string | null, code: Decision["code"]): string {
  return JSON.stringify([caller, code]);
}

/** How many pairs of caller and code are remembered, for counts and for logging each once. */
const REMEMBERED = 10_000;

/** Judges requests by a policy, for any kind of server. */
export class Authorizer {
  readonly #policy: () => Policy | null;
  readonly #options: AuthorizerOptions;
  readonly #counts = new Map<string, Count>();
  /** For callers that were let in: the data that each of their requests needs. */
  readonly #known = new WeakMap<CallerFacts, Known>();

  /** @throws PolicyError */
  constructor(source: PolicySource, options: AuthorizerOptions = {}) {
    if (typeof source === "object" && "policy" in source) this.#policy = () => source.policy;
    else {
      const policy = parsePolicy(source);
      this.#policy = () => policy;
    }
    this.#options = options;
  }

  /** How often each caller got each answer since the start; at most 10,000 pairs of caller and code. */
  decisions(): DecisionCount[] {
    return [...this.#counts.values()].map((count) => ({ ...count }));
  }

  /**
   * Returns the caller, for the handler, or the refusal to send. Null: an unproven caller that `dryRun` lets through.
   */
  judge(proof: Proof, action: Action): Caller | Refusal | null {
    const { dryRun = false, onDecision } = this.#options;
    if (onDecision === undefined && typeof proof !== "string") {
      const known = this.#known.get(proof);
      if (known?.allowed && this.#allows(known, proof, action)) {
        known.allowed.count++;
        return known.caller;
      }
    }
    const facts = typeof proof === "string" ? null : proof;
    const decision: Decision =
      typeof proof === "string"
        ? { allowed: false, code: proof, reason: sentences[proof] ?? proof, rule: null }
        : decide(this.#policy(), proof, action);
    const caller = facts === null ? null : describeCaller(facts);
    const isNew = this.#count(caller, decision.code);
    onDecision?.({ ...decision, ...action, caller, dryRun });
    if (decision.code !== "allowed") {
      const { code, reason } = decision;
      const refusal: Refusal = { status: statusOf(code), code, reason };
      if (isNew) this.#log(caller, action, refusal);
      if (!dryRun) return refusal;
    }
    return facts === null ? null : this.#callerOf(facts, caller);
  }

  #allows(known: Known, facts: CallerFacts, action: Action): boolean {
    const policy = this.#policy();
    if (known.policy !== policy) {
      known.policy = policy;
      known.rules = policy === null ? [] : rulesFor(policy, facts);
    }
    return allows(known.rules, action);
  }

  #callerOf(facts: CallerFacts, described: string | null): Caller {
    let known = this.#known.get(facts);
    if (known === undefined) {
      known = { caller: callerOf(facts, this.#policy), allowed: null, policy: null, rules: [] };
      this.#known.set(facts, known);
    }
    known.allowed ??= this.#counts.get(countKey(described, "allowed")) ?? null;
    return known.caller;
  }

  /** Whether this caller got this answer for the first time. */
  #count(caller: string | null, code: Decision["code"]): boolean {
    const key = countKey(caller, code);
    const known = this.#counts.get(key);
    if (known !== undefined) {
      known.count++;
      return false;
    }
    // Certificates are cheap to make, so there is a bound; beyond it nothing is remembered and nothing logged.
    if (this.#counts.size >= REMEMBERED) return false;
    this.#counts.set(key, { caller, code, count: 1 });
    return true;
  }

  #log(caller: string | null, { method, path }: Action, refusal: Refusal): void {
    const { dryRun = false, log = (message) => console.warn(message) } = this.#options;
    const verb = dryRun ? "would refuse" : "refused";
    const target = JSON.stringify(path.split("?", 1)[0]!.slice(0, 200));
    log(
      `${verb} ${caller ?? "an unknown caller"}: ${method} ${target}: ${refusal.reason} (${refusal.code})`,
      refusal,
    );
  }
}

/** For the answer: why the caller is not proven. */
const sentences: Partial<Record<RefusalCode, string>> = {
  certificate_missing: "this server wants a client certificate, and none was presented",
  certificate_untrusted: "the client certificate is not from a CA that this server trusts",
  certificate_authority_mismatch:
    "the client certificate names a CA that this server trusts, and was signed with another key",
  certificate_expired: "the client certificate has expired",
  certificate_not_yet_valid: "the client certificate is not valid yet: the clocks may differ",
  certificate_revoked: "the client certificate was revoked",
  session_revoked: "the TLS session was resumed, and its client certificate has been revoked",
  proxy_header_malformed: "what the proxy says of the client certificate cannot be read",
};

/** The body of a refusal, as JSON. */
export function refusalBody({ code, reason }: Refusal): string {
  return JSON.stringify({ error: { code, message: reason } });
}

export function isRefusal(judged: Caller | Refusal | null): judged is Refusal {
  return judged !== null && "status" in judged;
}
