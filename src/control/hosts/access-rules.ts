import { z } from "@hono/zod-openapi";
import { anyJson, fieldsOf } from "../api/bounds.ts";
import { Failure } from "../../failures/failures.ts";
import { isCidr } from "../../network/ranges.ts";
import type { SentRule } from "../../store/access/access-rules.ts";

/** Kinds of rules that require a person to sign in. */
const OF_PEOPLE: ReadonlySet<string> = new Set([
  "auth_method",
  "auth_context",
  "azureAD",
  "email",
  "email_domain",
  "email_list",
  "github-organization",
  "gsuite",
  "linked_app_token",
  "login_method",
  "oidc",
  "okta",
  "saml",
  "user_risk_score",
]);

/** What is in it says nothing, and is not kept. */
const nothing = z.object({});
const schemas: Readonly<Record<string, z.ZodType>> = {
  everyone: nothing,
  any_valid_service_token: nothing,
  certificate: nothing,
  ip: z.object({ ip: z.string().refine(isCidr, "is not an address or a CIDR range") }),
  service_token: z.object({ token_id: z.string().min(1).max(64) }),
  common_name: z.object({ common_name: z.string().min(1).max(255) }),
};

export const rules: z.ZodType<readonly Record<string, unknown>[]> = z
  .array(fieldsOf(anyJson(1024), 50))
  .max(100);

/**
 * Rules in the form of Cloudflare's API.
 * @throws Failure `access_needs_login`, `access_unsupported`, `access_invalid`
 */
export function readRules(sent: readonly Record<string, unknown>[]): SentRule[] {
  return sent.map((rule) => {
    // Terraform sends every kind of rule, and all but one are null.
    const set = Object.entries(rule).filter(([, value]) => value !== null && value !== undefined);
    const [kind, value] = set[0] ?? [];
    if (kind === undefined || set.length > 1) {
      throw new Failure("access_invalid", {
        message: "a rule has one kind, and this has another count",
      });
    }
    const name = kind.slice(0, 60);
    const schema = Object.hasOwn(schemas, kind) ? schemas[kind] : undefined;
    if (schema === undefined) {
      throw OF_PEOPLE.has(kind)
        ? new Failure("access_needs_login", {
            message: `the rule "${name}" is about people who sign in, and Access signs in nobody here`,
            facts: { rule: name },
          })
        : new Failure("access_unsupported", {
            message: `Access does not have the rule "${name}" here`,
            facts: { rule: name },
          });
    }
    const parsed = schema.safeParse(value);
    if (parsed.success) return { [kind]: parsed.data } as unknown as SentRule;
    throw new Failure("access_invalid", {
      message: `the rule "${name}" is not as Access takes it: ${parsed.error.issues[0]?.message ?? ""}`,
    });
  });
}
