import { encodeSegment, readWorkerSpiffeId, type Rule } from "countersign-origin";
import { Failure } from "../../failures/failures.ts";
import { anyOf, literal, pathTest, starred, type PathPattern } from "./pattern.ts";

/** What a server can see of a certificate, and how it writes names. */
export interface Sight {
  readonly server: string;
  /** `subject`: the server sees no URI names, so it knows a Worker by `CN=worker,O=account`. */
  readonly worker: "uri" | "subject";
  readonly facts: readonly Fact[];
  /** How it writes characters of names outside ASCII. */
  readonly names: "raw" | "hex-in-name";
}

export type Fact = "uri" | "subject" | "issuer" | "fingerprint";

/** One condition on the caller's certificate. */
export interface Condition {
  readonly fact: Fact;
  /** A regular expression for the whole text, not anchored. */
  readonly pattern: string;
  /** The pattern must not match. */
  readonly not?: true;
}

export interface ServerRule {
  readonly caller: readonly Condition[];
  /** Null: any. */
  readonly methods: readonly string[] | null;
  /** Null: any path, even one that is not clear. */
  readonly paths: readonly PathPattern[] | null;
}

/**
 * A policy's rules in terms of one server. A rule lets in a request that meets all its conditions.
 * @param account for names of Workers in rules without an account
 * @throws Failure `origin_config_inexpressible`
 */
export function serverRules(
  rules: readonly Rule[],
  sight: Sight,
  account: string | undefined,
): ServerRule[] {
  return rules.flatMap((rule, index) =>
    split(rule).map((part) => ({
      caller: conditions(part, { sight, account, at: `allow[${index}]` }),
      methods: methodsOf(part),
      paths: pathsOf(part),
    })),
  );
}

interface Context {
  readonly sight: Sight;
  readonly account: string | undefined;
  readonly at: string;
}

/** Patterns for Workers are asked separately from plain names, see {@link encodedNames}. */
function split(rule: Rule): Rule[] {
  const { worker } = rule;
  if (worker === undefined) return [rule];
  const parts = [worker.filter(isPartial), worker.filter((name) => !isPartial(name))];
  return parts.filter((part) => part.length > 0).map((part) => ({ ...rule, worker: part }));
}

function isPartial(pattern: string): boolean {
  return pattern.includes("*") && !/^\*+$/.test(pattern);
}

function conditions(rule: Rule, context: Context): Condition[] {
  const { sight, at } = context;
  const found: Condition[] = [];
  if (rule.worker ?? rule.account ?? rule.environment) found.push(...workerOf(rule, context));
  if (rule.spiffeId) found.push(...spiffeIdOf(rule.spiffeId, context));
  for (const fact of ["subject", "issuer", "fingerprint"] as const) {
    const wanted = rule[fact];
    if (wanted === undefined) continue;
    if (!sight.facts.includes(fact)) throw inexpressible(`${at}.${fact}`, sight);
    found.push({ fact, pattern: anyOf(wanted.map((one) => wholeText(one, sight))) });
  }
  return found;
}

function wholeText(pattern: string, { names }: Sight): string {
  return starred(pattern, { star: "[^/]*", read: (part) => literal(part, names) });
}

function workerOf(rule: Rule, { sight, account, at }: Context): Condition[] {
  const accounts = rule.account ?? (account === undefined ? ["*"] : [account]);
  const workers = rule.worker ?? ["*"];
  if (sight.worker === "subject") {
    if (rule.environment) throw inexpressible(`${at}.environment`, sight);
    return [subjectOf(workers, accounts, sight)];
  }
  const environment = rule.environment
    ? `/environment/${segments(rule.environment)}`
    : "(?:/environment/[^/]+)?";
  const pattern = `spiffe://[^/]+/account/${segments(accounts)}/worker/${segments(workers)}${environment}`;
  const isPatterned = [...accounts, ...workers, ...(rule.environment ?? [])].some(isPartial);
  return [{ fact: "uri", pattern }, ...(isPatterned ? [encodedNames] : [])];
}

/**
 * Characters that may not stand in a SPIFFE ID are encoded there. A pattern for the name cannot be matched against an
 * encoded name, so it lets in no Worker with an encoded name.
 */
const encodedNames: Condition = { fact: "uri", pattern: String.raw`.*/_u\x2e.*`, not: true };

function segments(patterns: readonly string[]): string {
  return anyOf(patterns.map(segment));
}

function segment(pattern: string): string {
  if (/^\*+$/.test(pattern)) return "[^/]+";
  if (!pattern.includes("*")) return literal(encodeSegment(pattern));
  return starred(pattern, { star: "[^/]*", read: literal });
}

function subjectOf(
  workers: readonly string[],
  accounts: readonly string[],
  { names }: Sight,
  unit = "",
): Condition {
  const values = (patterns: readonly string[]): string =>
    anyOf(patterns.map((pattern) => nameValue(pattern, names)));
  return { fact: "subject", pattern: `CN=${values(workers)}${unit},O=${values(accounts)}` };
}

/** One value of a name, escaped as in RFC 2253. A star does not match beyond the value's end. */
function nameValue(pattern: string, names: Sight["names"]): string {
  const star = String.raw`(?:[^,+/\x5c]|\x5c.)*`;
  return starred(pattern.replaceAll("**", "*"), {
    star,
    read: (part) =>
      literal(part.replaceAll(/[,+"\\<>;]/g, String.raw`\$&`).replace(/^[# ]/, "\\$&"), names),
  });
}

function spiffeIdOf(patterns: readonly string[], { sight, at }: Context): Condition[] {
  if (sight.worker === "uri") {
    return [{ fact: "uri", pattern: anyOf(patterns.map((one) => wholeText(one, sight))) }];
  }
  const found = patterns.map((pattern) => {
    const [, account, kind, name] =
      /^spiffe:\/\/[^/]+\/account\/([^/]+)\/(worker|client)\/([^/]+)$/.exec(pattern) ?? [];
    if (kind === undefined || pattern.includes("**")) {
      throw inexpressible(`${at}.spiffeId "${pattern}"`, sight);
    }
    // Names that are encoded in an ID appear unencoded in a subject.
    const plain = readWorkerSpiffeId(pattern.replace("/client/", "/worker/"));
    const names = plain === null ? [name!] : [plain.worker];
    const accounts = plain === null ? [account!] : [plain.account];
    return subjectOf(names, accounts, sight, kind === "client" ? ",OU=client" : "");
  });
  return [{ fact: "subject", pattern: anyOf(found.map((one) => one.pattern)) }];
}

function methodsOf({ methods }: Rule): readonly string[] | null {
  if (methods === undefined) return null;
  return [...new Set(methods.flatMap((one) => (one === "GET" ? ["GET", "HEAD"] : [one])))];
}

function pathsOf({ paths }: Rule): readonly PathPattern[] | null {
  return paths === undefined || paths.includes("/*") ? null : paths.map(pathTest);
}

function inexpressible(what: string, { server }: Sight): Failure {
  return new Failure("origin_config_inexpressible", {
    message: `${server} cannot ask what ${what} says`,
  });
}
