import { verify, X509Certificate } from "node:crypto";
import { parsePolicy, type Policy } from "./policy.ts";
import { readSpiffeId } from "./identity.ts";
import { uriNames } from "./certificate.ts";

/**
 * What a control plane publishes about one account, at
 * `/client/v4/accounts/{account}/countersign/identity/feed?policy=NAME&after=CURSOR`: a JWS in compact form (RFC 7515),
 * signed with `ES256`, whose `x5c` leads to a CA of the account. The control plane answers with 204 if nothing has
 * changed for 25 seconds.
 */
export interface FeedPayload {
  /** Increases with each change. A feed with a lower cursor than the last one is refused. */
  readonly cursor: number;
  readonly account: string;
  /** CAs of callers, PEM: all of them, also those that do not issue yet. */
  readonly authorities: readonly string[];
  /** Serial numbers, hexadecimal, of revoked identities that have not expired. */
  readonly revoked: readonly string[];
  /** Null: there is no policy of that name, or the request named none. */
  readonly policy: {
    readonly name: string;
    readonly version: number;
    readonly policy: unknown;
  } | null;
}

export interface ReadFeed extends Omit<FeedPayload, "policy"> {
  readonly policy: {
    readonly name: string;
    readonly version: number;
    readonly policy: Policy;
  } | null;
}

/** A feed is not accepted. The last one stays in force. */
export class FeedError extends Error {
  override readonly name = "FeedError";
}

export interface FeedCheck {
  readonly account: string;
  /** The signature has to lead to one of these CAs, PEM. */
  readonly authorities: readonly string[];
  /** The cursor of the last feed that was accepted. */
  readonly after: number;
  /** The time to check the signer's certificate against. Null: any time, for a feed that was accepted before. */
  readonly now: Date | null;
}

/** @throws FeedError if the feed is not signed for this account, is older than the last one, or cannot be read */
export function readFeed(jws: string, check: FeedCheck): ReadFeed {
  const [head, body, signature, ...more] = jws.trim().split(".", 4);
  if (head === undefined || body === undefined || signature === undefined || more.length > 0) {
    throw new FeedError("the feed is not a signed message");
  }
  const signer = signerOf(json(head) as { alg?: unknown; x5c?: unknown }, check);
  const signed = verify(
    "sha256",
    Buffer.from(`${head}.${body}`),
    { key: signer.publicKey, dsaEncoding: "ieee-p1363" },
    Buffer.from(signature, "base64url"),
  );
  if (!signed) throw new FeedError("the feed's signature does not fit");
  return payloadOf(json(body), check);
}

/**
 * Reads a feed that was accepted before, from the reader's own file. It is checked against the CAs that it names
 * itself: the account's CAs may have been exchanged since, and its revocations count in any case.
 * @throws FeedError if it is not signed for this account, or cannot be read
 */
export function readKeptFeed(jws: string, account: string): ReadFeed {
  const [, body = ""] = jws.trim().split(".", 2);
  const { authorities } = json(body) as Partial<FeedPayload>;
  if (!isTexts(authorities)) throw new FeedError("the feed names no CA");
  return readFeed(jws, { account, authorities, after: 0, now: null });
}

function payloadOf(value: unknown, { account, after }: FeedCheck): ReadFeed {
  const feed = value as Partial<FeedPayload>;
  if (feed.account !== account)
    throw new FeedError(`the feed is of account "${String(feed.account)}", not "${account}"`);
  if (!Number.isSafeInteger(feed.cursor)) throw new FeedError("the feed has no cursor");
  if (feed.cursor! < after)
    throw new FeedError(`the feed is older (${feed.cursor}) than what is in force (${after})`);
  if (!isTexts(feed.authorities) || feed.authorities.length === 0)
    throw new FeedError("the feed names no CA");
  if (!isTexts(feed.revoked)) throw new FeedError("the feed has no list of revoked identities");
  const named = feed.policy ?? null;
  return {
    cursor: feed.cursor!,
    account,
    authorities: feed.authorities,
    revoked: feed.revoked,
    policy:
      named === null
        ? null
        : { name: named.name, version: named.version, policy: parsePolicy(named.policy) },
  };
}

/** The first certificate of `x5c`, after checking that a CA of the account vouches for it. */
function signerOf(
  { alg, x5c }: { alg?: unknown; x5c?: unknown },
  check: FeedCheck,
): X509Certificate {
  if (alg !== "ES256" || !isTexts(x5c) || x5c.length === 0 || x5c.length > 5) {
    throw new FeedError("the feed is not signed with ES256 and a chain");
  }
  const chain = x5c.map((base64) => certificate(Buffer.from(base64, "base64")));
  const roots = check.authorities.map((pem) => certificate(pem));
  const [leaf] = chain;
  for (const [index, one] of chain.entries()) {
    if (hasEnded(one, check.now))
      throw new FeedError("a certificate behind the feed's signature has expired");
    if (index > 0 && !one.ca)
      throw new FeedError("a certificate behind the feed's signature is no CA");
    const issuer = roots.find((root) => signs(root, one));
    if (issuer !== undefined && !hasEnded(issuer, check.now))
      return purposeOf(leaf!, check.account);
    const next = chain[index + 1];
    if (next === undefined || !signs(next, one)) break;
  }
  throw new FeedError("the feed's signature does not lead to a CA of the account");
}

/** Only a certificate made for signing feeds may sign: Workers' own identities come from the same CA. */
function purposeOf(leaf: X509Certificate, account: string): X509Certificate {
  const uris = uriNames(leaf.subjectAltName ?? "");
  const segments = uris.length === 1 ? readSpiffeId(uris[0]!)?.segments : undefined;
  if (
    segments?.length !== 3 ||
    segments[0] !== "account" ||
    segments[1] !== account ||
    segments[2] !== "feed"
  ) {
    throw new FeedError("the certificate behind the feed's signature was not made for that");
  }
  return leaf;
}

function signs(issuer: X509Certificate, subject: X509Certificate): boolean {
  try {
    return issuer.ca && subject.checkIssued(issuer) && subject.verify(issuer.publicKey);
  } catch {
    return false;
  }
}

/** A certificate that is not valid yet is accepted: an origin whose clock is behind must still learn of revocations. */
function hasEnded({ validTo }: X509Certificate, now: Date | null): boolean {
  return now !== null && !(now.getTime() <= Date.parse(validTo));
}

function certificate(input: Buffer | string): X509Certificate {
  try {
    return new X509Certificate(input);
  } catch {
    throw new FeedError("a certificate behind the feed's signature cannot be read");
  }
}

function json(base64url: string): unknown {
  try {
    const value: unknown = JSON.parse(Buffer.from(base64url, "base64url").toString("utf8"));
    if (typeof value === "object" && value !== null) return value;
  } catch {
    // Falls through: the reader of the message gets the same answer for both.
  }
  throw new FeedError("the feed cannot be read");
}

function isTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((entry) => typeof entry === "string");
}
