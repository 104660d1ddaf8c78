import { z } from "@hono/zod-openapi";
import { count, crud, flag, gone, type Results, text, texts, time } from "./common.ts";

const account = z.object({ id: text, name: text, type: text, created_on: time }).openapi("Account");

const membership = z
  .object({
    id: text,
    status: text,
    account,
    roles: texts,
    permissions: z.record(text, z.unknown()),
  })
  .openapi("Membership");

const policy = z
  .object({
    id: text,
    effect: text,
    permission_groups: z.array(z.object({ id: text, name: text })),
    resources: z.record(text, z.unknown()),
  })
  .openapi("TokenPolicy");

const token = z
  .object({
    id: text,
    name: text,
    status: z.enum(["active", "disabled", "expired"]),
    issued_on: time,
    modified_on: time,
    not_before: time.optional(),
    expires_on: time.optional(),
    policies: z.array(policy),
    condition: z
      .object({
        request_ip: z.object({ in: texts.optional(), not_in: texts.optional() }).optional(),
      })
      .optional(),
  })
  .openapi("ApiToken");

const newToken = token.extend({ value: text }).openapi("NewApiToken");

function tokens(path: string): Results {
  return {
    [`GET ${path}/verify`]: z.object({
      id: text,
      status: text,
      expires_on: time.optional(),
    }),
    [`GET ${path}/permission_groups`]: z.array(z.object({ id: text, name: text, scopes: texts })),
    ...crud(path, token, "GET* GET PUT DELETE", "token_id"),
    [`POST ${path}`]: newToken,
    [`PUT ${path}/{token_id}/value`]: text,
  };
}

const auditLog = z
  .object({
    id: text,
    when: time,
    interface: text,
    action: z.object({ type: text, result: flag }),
    actor: z.object({
      id: text.nullable(),
      email: text,
      type: text,
      ip: text.nullable(),
    }),
    owner: z.object({ id: text }),
    resource: z.object({ type: text, id: text }),
    metadata: z.record(text, z.unknown()),
    oldValue: text.optional(),
    newValue: text.optional(),
    oldValueJson: z.record(text, z.unknown()).optional(),
    newValueJson: z.record(text, z.unknown()).optional(),
  })
  .openapi("AuditLog");

const own = "/user/countersign";
const owner = z.object({ email: text });

/** People, accounts, tokens and the audit log. */
export const accessResults: Results = {
  "GET /user": z.object({ id: text, email: text }).openapi("User"),
  "GET /accounts": z.array(account),
  "GET /accounts/{account_id}": account,
  "GET /memberships": z.array(membership),
  ...tokens("/user/tokens"),
  ...tokens("/accounts/{account_id}/tokens"),
  "GET /accounts/{account_id}/audit_logs": z.array(auditLog),
  [`PUT ${own}/password`]: owner.extend({ ended: count }),
  [`GET ${own}/sessions`]: z.array(
    z
      .object({ id: text, client: text, begun_on: time, expires_on: time, current: flag })
      .openapi("Session"),
  ),
  [`DELETE ${own}/sessions/{session_id}`]: gone,
  [`POST ${own}/second_factor`]: z.object({ uri: text }),
  [`PUT ${own}/second_factor`]: z.object({ recovery_codes: texts }),
  [`POST ${own}/second_factor/remove`]: owner,
};
