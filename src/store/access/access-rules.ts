import type { AccessRule } from "../../contract/access.ts";

/** A rule as Cloudflare's API has it. */
export type SentRule =
  | { readonly everyone: object }
  | { readonly ip: { readonly ip: string } }
  | { readonly service_token: { readonly token_id: string } }
  | { readonly any_valid_service_token: object }
  | { readonly certificate: object }
  | { readonly common_name: { readonly common_name: string } };

export type SentRules = Readonly<Record<"include" | "require" | "exclude", readonly SentRule[]>>;

export function ruleOf(sent: SentRule): AccessRule {
  if ("everyone" in sent) return { kind: "everyone" };
  if ("ip" in sent) return { kind: "ip", range: sent.ip.ip };
  if ("service_token" in sent) {
    return { kind: "service_token", tokenId: sent.service_token.token_id };
  }
  if ("any_valid_service_token" in sent) return { kind: "any_valid_service_token" };
  if ("certificate" in sent) return { kind: "certificate" };
  return { kind: "common_name", commonName: sent.common_name.common_name };
}
