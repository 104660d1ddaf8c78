import { isPathPattern } from "./path.ts";

/**
 * Who may do what. Everything that no rule allows is denied, so an empty policy denies everybody. `policy.schema.json`
 * describes the JSON form.
 */
export interface Policy {
  readonly allow: readonly Rule[];
}

/**
 * One thing that is allowed. A rule has at least one criterion for the caller. All its criteria must match; of a list,
 * one entry must. `*` stands for any characters within one segment (between `/` or `:`), `**` for any characters.
 */
export interface Rule {
  /** Names of Workers with an identity that Countersign issued. */
  readonly worker?: readonly string[];
  readonly account?: readonly string[];
  readonly environment?: readonly string[];
  /** `spiffe://example.org/account/acme/worker/billing-*` */
  readonly spiffeId?: readonly string[];
  /** The whole subject, as `CN=billing,O=acme`. */
  readonly subject?: readonly string[];
  readonly issuer?: readonly string[];
  /** SHA-256 of the certificate, hexadecimal; colons and case are ignored. `*` is not allowed. */
  readonly fingerprint?: readonly string[];
  /** Upper case. `GET` includes `HEAD`. Default: any. */
  readonly methods?: readonly string[];
  /** A path (`/orders`), or everything below it (`/orders/*`). Default: any. */
  readonly paths?: readonly string[];
}

export const criteria = [
  "worker",
  "account",
  "environment",
  "spiffeId",
  "subject",
  "issuer",
  "fingerprint",
] as const;

export type Criterion = (typeof criteria)[number];

/** A policy cannot be used. The one in force stays. */
export class PolicyError extends Error {
  override readonly name = "PolicyError";
  readonly code = "policy_invalid";
}

/**
 * Reads a policy from JSON text or from a value. A single string may stand for a list of one.
 * @throws PolicyError that says where and what is wrong
 */
export function parsePolicy(input: unknown): Policy {
  const value = typeof input === "string" ? parseJson(input) : input;
  if (!isRecord(value)) throw new PolicyError('a policy is an object: { "allow": [ … ] }');
  for (const key of Object.keys(value)) {
    if (key !== "allow" && key !== "$schema") {
      throw new PolicyError(`"${key}" is nothing that a policy has. It has "allow"`);
    }
  }
  const { allow } = value;
  if (!Array.isArray(allow)) throw new PolicyError('"allow" is a list of rules');
  return { allow: allow.map((rule: unknown, index) => readRule(rule, `allow[${index}]`)) };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new PolicyError(`not JSON: ${(error as Error).message}`);
  }
}

function readRule(value: unknown, where: string): Rule {
  if (!isRecord(value)) throw new PolicyError(`${where} is not an object`);
  const rule: Record<string, readonly string[]> = {};
  for (const [key, given] of Object.entries(value)) {
    const read = readers.get(key);
    if (read === undefined) {
      throw new PolicyError(
        `${where}.${key} is nothing that a rule has. It has ${[...readers.keys()].join(", ")}`,
      );
    }
    const list: unknown[] = Array.isArray(given) ? given : [given];
    if (list.length === 0) throw new PolicyError(`${where}.${key} is empty: it would allow nobody`);
    rule[key] = list.map((entry, index) => {
      const at = Array.isArray(given) ? `${where}.${key}[${index}]` : `${where}.${key}`;
      if (typeof entry !== "string" || entry === "") throw new PolicyError(`${at} is not a text`);
      return read(entry, at);
    });
  }
  if (!criteria.some((criterion) => criterion in rule)) {
    throw new PolicyError(
      `${where} names no caller. Give it one of ${criteria.join(", ")}; "worker": "*" is any Worker`,
    );
  }
  return rule;
}

type Reader = (entry: string, at: string) => string;

const asIs: Reader = (entry) => entry;

const readers = new Map<string, Reader>([
  ["worker", asIs],
  ["account", asIs],
  ["environment", asIs],
  [
    "spiffeId",
    (entry, at) => {
      if (entry.startsWith("spiffe://")) return entry;
      throw new PolicyError(`${at}: "${entry}" is not a SPIFFE ID. It begins with spiffe://`);
    },
  ],
  ["subject", asIs],
  ["issuer", asIs],
  [
    "fingerprint",
    (entry, at) => {
      const hex = entry.replaceAll(":", "").toLowerCase();
      if (/^[0-9a-f]{64}$/.test(hex)) return hex;
      throw new PolicyError(
        `${at}: "${entry}" is not a SHA-256 fingerprint: 64 hexadecimal digits`,
      );
    },
  ],
  [
    "methods",
    (entry, at) => {
      if (/^[A-Za-z0-9!#$%&'*+.^_`|~-]+$/.test(entry)) return entry.toUpperCase();
      throw new PolicyError(`${at}: "${entry}" is not an HTTP method`);
    },
  ],
  [
    "paths",
    (entry, at) => {
      if (isPathPattern(entry)) return entry;
      throw new PolicyError(
        `${at}: "${entry}" is not a path. It begins with / and may end with *, and has no query, no .. and no //`,
      );
    },
  ],
]);

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
