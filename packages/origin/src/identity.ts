/** A Worker's identity, read from the SPIFFE ID in its certificate. */
export interface WorkerIdentity {
  readonly trustDomain: string;
  readonly account: string;
  readonly worker: string;
  /** Null: the ID names no environment. */
  readonly environment: string | null;
}

/**
 * `spiffe://{trust domain}/account/{account}/worker/{worker}`, followed by `/environment/{environment}` if there is
 * one. Names that cannot stand in a SPIFFE path are encoded, without collisions.
 * @throws TypeError if the trust domain is not valid
 * @see https://github.com/spiffe/spiffe/blob/main/standards/SPIFFE-ID.md
 */
export function workerSpiffeId(identity: WorkerIdentity): string {
  const { trustDomain, account, worker, environment } = identity;
  if (!isTrustDomain(trustDomain)) throw new TypeError(`"${trustDomain}" is not a trust domain`);
  const path = ["account", encodeSegment(account), "worker", encodeSegment(worker)];
  if (environment !== null) path.push("environment", encodeSegment(environment));
  return `spiffe://${trustDomain}/${path.join("/")}`;
}

/** Null: not the ID of a Worker, or not a SPIFFE ID at all. Never throws. */
export function readWorkerSpiffeId(spiffeId: string): WorkerIdentity | null {
  const parts = readSpiffeId(spiffeId);
  if (parts === null) return null;
  const [first, account, second, worker, third, environment, ...rest] = parts.segments;
  if (first !== "account" || second !== "worker" || rest.length > 0) return null;
  if (third !== undefined && (third !== "environment" || environment === undefined)) return null;
  const names = {
    account: decodeSegment(account),
    worker: decodeSegment(worker),
    environment: environment === undefined ? null : decodeSegment(environment),
  };
  if (names.account === undefined || names.worker === undefined) return null;
  if (names.environment === undefined) return null;
  return {
    trustDomain: parts.trustDomain,
    account: names.account,
    worker: names.worker,
    environment: names.environment,
  };
}

/**
 * Splits a SPIFFE ID into its parts. Null: it is not one, or is longer than the 2,048 bytes that the standard allows.
 */
export function readSpiffeId(
  text: string,
): { readonly trustDomain: string; readonly segments: readonly string[] } | null {
  if (text.length > 2048 || !text.startsWith("spiffe://")) return null;
  const [trustDomain, ...segments] = text.slice("spiffe://".length).split("/");
  if (trustDomain === undefined || !isTrustDomain(trustDomain)) return null;
  return segments.every(isSegment) ? { trustDomain, segments } : null;
}

/** 1 to 255 of `a-z 0-9 . - _`. */
export function isTrustDomain(text: string): boolean {
  return text.length <= 255 && /^[a-z0-9._-]+$/.test(text);
}

function isSegment(text: string): boolean {
  return /^[A-Za-z0-9._-]+$/.test(text) && text !== "." && text !== "..";
}

/** The prefix of an encoded name; the rest is the name's UTF-8 in hexadecimal. */
const ENCODED = "_u.";

/**
 * A name as one segment of a SPIFFE path: unchanged if it may stand there, else `_u.` and its UTF-8 in hexadecimal.
 * Different names never give the same segment.
 */
export function encodeSegment(name: string): string {
  if (isSegment(name) && !name.startsWith(ENCODED)) return name;
  const bytes = new TextEncoder().encode(name);
  return ENCODED + Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Undefined: {@link encodeSegment} does not make this segment of any name. */
function decodeSegment(segment: string | undefined): string | undefined {
  if (segment === undefined || !segment.startsWith(ENCODED)) return segment;
  const hex = segment.slice(ENCODED.length);
  if (!/^(?:[0-9a-f]{2})*$/.test(hex)) return undefined;
  const bytes = Uint8Array.from(hex.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
  try {
    const name = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    return encodeSegment(name) === segment ? name : undefined;
  } catch {
    return undefined;
  }
}
