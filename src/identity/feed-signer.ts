import { createPrivateKey, sign, X509Certificate, type KeyObject } from "node:crypto";
import { makeRequest, type SigningAuthority } from "./authority.ts";
import { issueIdentity } from "./issue.ts";

/** Signs what the control plane publishes to the origins of one account. */
export interface FeedSigner {
  /** Returns a JWS in compact form, `ES256`, with the signer's chain in `x5c` (RFC 7515). */
  sign(payload: unknown): string;
  readonly notBefore: Date;
  readonly notAfter: Date;
}

export interface FeedSignerOptions {
  readonly account: string;
  readonly trustDomain: string;
  readonly now: Date;
}

/** Makes a separate key for the feed, valid for a day, because the CA's key signs only certificates. */
export async function makeFeedSigner(
  authority: SigningAuthority,
  { account, trustDomain, now }: FeedSignerOptions,
): Promise<FeedSigner> {
  const { csr, key } = await makeRequest("feed", account);
  const spiffeId = `spiffe://${trustDomain}/account/${account}/feed`;
  const issued = await issueIdentity(authority, { csr, spiffeId, worker: "feed", account, now });
  const privateKey = createPrivateKey(key);
  const head = base64url({ alg: "ES256", x5c: derOf(issued.chain) });
  const { notBefore, notAfter } = issued;
  return { notBefore, notAfter, sign: (payload) => signed(head, payload, privateKey) };
}

function signed(head: string, payload: unknown, key: KeyObject): string {
  const input = `${head}.${base64url(payload)}`;
  const signature = sign("sha256", Buffer.from(input), { key, dsaEncoding: "ieee-p1363" });
  return `${input}.${signature.toString("base64url")}`;
}

function base64url(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString("base64url");
}

function derOf(chain: string): string[] {
  const pems = chain.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  return pems.map((pem) => new X509Certificate(pem).raw.toString("base64"));
}
