import { sign, type KeyObject } from "node:crypto";
import { ASSERTION_LIFE } from "../../contract/access.ts";

export interface SigningKey {
  readonly id: string;
  readonly key: KeyObject;
}

/** A JSON Web Token (RS256) that says who came in, in Cloudflare's claims for service tokens. */
export function signAssertion(
  { id, key }: SigningKey,
  {
    audience,
    issuer,
    commonName,
    now,
  }: {
    readonly audience: string;
    readonly issuer: string;
    readonly commonName: string;
    readonly now: number;
  },
): string {
  const seconds = Math.floor(now / 1000);
  const signed = [
    { alg: "RS256", kid: id, typ: "JWT" },
    {
      type: "app",
      aud: audience,
      exp: seconds + ASSERTION_LIFE,
      iat: seconds,
      iss: issuer,
      common_name: commonName,
      sub: "",
    },
  ]
    .map((part) => Buffer.from(JSON.stringify(part)).toString("base64url"))
    .join(".");
  return `${signed}.${sign("sha256", Buffer.from(signed), key).toString("base64url")}`;
}
