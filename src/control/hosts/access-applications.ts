import { z } from "@hono/zod-openapi";
import { randomBytes, randomUUID } from "node:crypto";
import { Failure } from "../../failures/failures.ts";
import { deleteAccess, listAccess, putAccess } from "../../store/access/access.ts";
import type { Database } from "../../store/database.ts";
import type { AccessApplicationRow, AccessPolicyRow } from "../../store/schema.ts";
import type { Caller } from "../api/auth.ts";
import type { ControlContext } from "../api/context.ts";
import { oneLine } from "../api/text.ts";
import { endpoint, type Endpoint } from "../api/endpoint.ts";
import { assertRoom } from "../api/room.ts";
import { list } from "../api/envelope.ts";
import { hostOfAnother } from "../routing/host-owners.ts";
import { changeAccess, existingAccess, refuseOthers } from "./access-change.ts";
import { applicationDomain } from "./application-domain.ts";
import { ensureKey, firstKey } from "./access-keys.ts";
import { newPolicy, policyBody, shownPolicy } from "./access-policies.ts";

const used = z.union([
  oneLine,
  z.object({ id: oneLine, precedence: z.number().int().nullish() }).loose(),
  policyBody,
]);
const flag = z.boolean().nullish();
const url = z.string().max(2048).nullish();
/**
 * Stored and returned, but without effect: they concern people's sessions and browsers, which Access here does not
 * serve.
 */
const kept = {
  app_launcher_visible: flag,
  app_launcher_logo_url: url,
  enable_binding_cookie: flag,
  http_only_cookie_attribute: flag,
  logo_url: url,
  path_cookie_attribute: flag,
  same_site_cookie_attribute: oneLine.max(50).nullish(),
  service_auth_401_redirect: flag,
  session_duration: oneLine.max(50).nullish(),
  skip_interstitial: flag,
  tags: z.array(oneLine.max(255)).max(100).nullish(),
};
const body = z
  .object({
    ...kept,
    type: oneLine.default("self_hosted"),
    name: z.string().min(1).max(255).optional(),
    domain: z.string().max(2048).optional(),
    self_hosted_domains: z.array(z.string().max(2048)).max(50).nullish(),
    destinations: z
      .array(z.object({ type: oneLine.nullish(), uri: z.string().max(2048).nullish() }).loose())
      .max(50)
      .nullish(),
    policies: z.array(used).max(100).nullish(),
  })
  .loose();

const KNOWN = [
  "type",
  "name",
  "domain",
  "self_hosted_domains",
  "destinations",
  "policies",
  ...Object.keys(kept),
];
/** Applications for each account. */
const MOST = 500;

/** Hosts and paths that only callers whom a policy allows can reach. */
export function accessApplicationEndpoints(context: ControlContext): readonly Endpoint[] {
  const { store, clock } = context;
  const path = "/accounts/{account_id}/access/apps";
  const [read, write] = ["ssl_certs:read", "ssl_certs:write"] as const;
  const shownOf = async (row: AccessApplicationRow): Promise<object> =>
    shown(
      row,
      await listAccess(store.db, "accessPolicies", row.accountId),
      await listAccess(store.db, "accessApplications", row.accountId),
    );
  const put = async (
    caller: Caller,
    sent: z.output<typeof body>,
    find: (db: Database) => Promise<AccessApplicationRow | null>,
  ): Promise<AccessApplicationRow> => {
    const { accountId } = caller;
    const domains = domainsOf(sent);
    const key = await firstKey(context, accountId);
    return changeAccess(context, caller, async ({ db }) => {
      const before = await find(db);
      const now = clock();
      const added = domains.filter((domain) => !before?.domains.includes(domain));
      await refuseOthersHost(db, accountId, added);
      const others = await listAccess(db, "accessApplications", accountId);
      refuseTaken(
        domains,
        others.filter(({ id }) => id !== before?.id),
      );
      if (before === null && others.length >= MOST) {
        throw new Failure("access_invalid", { message: `the account has ${MOST} applications` });
      }
      await ensureKey(db, key);
      const row: AccessApplicationRow = {
        id: before?.id ?? randomUUID(),
        accountId,
        name: sent.name ?? before?.name ?? domains[0]!,
        aud: before?.aud ?? randomBytes(32).toString("hex"),
        domains,
        policies: before?.policies ?? [],
        settings: Object.fromEntries(
          Object.entries(sent).filter(([field]) => Object.hasOwn(kept, field)),
        ),
        createdOn: before?.createdOn ?? now.toISOString(),
        updatedOn: now.toISOString(),
      };
      await putAccess(db, "accessApplications", row);
      if (sent.policies) {
        row.policies = await usePolicies(db, caller, { row, sent: sent.policies, now });
        await putAccess(db, "accessApplications", row);
      }
      return {
        value: row,
        action: before === null ? "access.application_create" : "access.application_update",
        resource: resourceOf(row),
        ...(before && { before: applicationFacts(before) }),
        after: applicationFacts(row),
      };
    });
  };
  return [
    endpoint(
      { method: "get", path, summary: "Applications behind Access", scope: read, query: filter },
      async ({ caller: { accountId }, query }) => {
        const rows = await listAccess(store.db, "accessApplications", accountId);
        const policies = await listAccess(store.db, "accessPolicies", accountId);
        return list(
          rows
            .filter((row) => query.name === undefined || row.name === query.name)
            .filter((row) => query.domain === undefined || row.domains[0] === query.domain)
            .filter((row) => query.aud === undefined || row.aud === query.aud)
            .map((row) => shown(row, policies, rows)),
        );
      },
    ),
    endpoint(
      { method: "post", path, summary: "Put a host behind Access", scope: write, body },
      async ({ caller, body: sent }) => ({
        status: 201,
        result: await shownOf(await put(caller, sent, async () => null)),
      }),
    ),
    endpoint(
      { method: "get", path: `${path}/{app_id}`, summary: "One application", scope: read },
      async ({ caller, params }) => ({
        result: await shownOf(
          await existingAccess(store.db, "accessApplications", caller, params["app_id"]),
        ),
      }),
    ),
    endpoint(
      {
        method: "put",
        path: `${path}/{app_id}`,
        summary: "Change an application",
        scope: write,
        body,
      },
      async ({ caller, params, body: sent }) => {
        const find = (db: Database): Promise<AccessApplicationRow> =>
          existingAccess(db, "accessApplications", caller, params["app_id"]);
        return { result: await shownOf(await put(caller, sent, find)) };
      },
    ),
    endpoint(
      {
        method: "delete",
        path: `${path}/{app_id}`,
        summary: "Take a host out from behind Access",
        scope: write,
      },
      async ({ caller, params }) => {
        const id = await changeAccess(context, caller, async ({ db }) => {
          const before = await existingAccess(db, "accessApplications", caller, params["app_id"]);
          await deleteAccess(db, "accessApplications", before);
          return {
            value: before.id,
            action: "access.application_delete",
            resource: resourceOf(before),
            before: applicationFacts(before),
          };
        });
        return { result: { id }, status: 202 };
      },
    ),
  ];
}

const filter = z.object({
  name: z.string().optional(),
  domain: z.string().optional(),
  aud: z.string().optional(),
});

/**
 * Sets the policies that an application names, in their order. Policies that are sent whole become the application's
 * own.
 * @throws Failure `access_not_found`
 */
async function usePolicies(
  db: Database,
  caller: Caller,
  {
    row,
    sent,
    now,
  }: { row: AccessApplicationRow; sent: readonly z.output<typeof used>[]; now: Date },
): Promise<string[]> {
  const ids: { id: string; precedence: number }[] = [];
  for (const [index, one] of sent.entries()) {
    const precedence =
      typeof one === "object" && typeof one["precedence"] === "number"
        ? one["precedence"]
        : index + 1;
    const id = typeof one === "string" ? one : typeof one["id"] === "string" ? one["id"] : null;
    if (id === null) {
      const policy = newPolicy(caller, policyBody.parse(one), { applicationId: row.id, now });
      await assertRoom(db, caller.accountId, "accessPolicies");
      await putAccess(db, "accessPolicies", policy);
      ids.push({ id: policy.id, precedence });
      continue;
    }
    const policy = await existingAccess(db, "accessPolicies", caller, id);
    if (policy.applicationId !== null && policy.applicationId !== row.id) {
      throw new Failure("access_not_found", {
        message: `the policy "${id}" is a part of another application`,
      });
    }
    ids.push({ id, precedence });
  }
  const ordered = ids.toSorted((a, b) => a.precedence - b.precedence).map(({ id }) => id);
  // Its own policies that it no longer uses are deleted.
  for (const policy of await listAccess(db, "accessPolicies", caller.accountId)) {
    if (policy.applicationId === row.id && !ordered.includes(policy.id)) {
      await deleteAccess(db, "accessPolicies", policy);
    }
  }
  return [...new Set(ordered)];
}

function domainsOf(sent: z.output<typeof body>): string[] {
  if (sent.type !== "self_hosted") {
    throw new Failure("access_unsupported", {
      message: `Access has applications of the type "self_hosted" here, not "${sent.type.slice(0, 60)}"`,
      facts: { type: sent.type.slice(0, 60) },
    });
  }
  refuseOthers(sent, KNOWN);
  const destinations = (sent.destinations ?? []).map(({ type, uri }) => {
    if ((type ?? "public") === "public" && typeof uri === "string") return uri;
    throw new Failure("access_unsupported", {
      message: `Access has destinations of the type "public" here, with a "uri"`,
    });
  });
  const texts = [sent.domain ?? [], destinations, sent.self_hosted_domains ?? []].flat();
  const domains = [...new Set(texts.map(applicationDomain))];
  if (domains.length > 0) return domains;
  throw new Failure("access_invalid", { message: 'the application has no "domain"' });
}

/** @throws Failure `access_invalid`: it would do nothing, for the other account says who reaches its hosts */
async function refuseOthersHost(
  db: Database,
  accountId: string,
  domains: readonly string[],
): Promise<void> {
  const hosts = domains.map((domain) => domain.replace(/\/.*$/s, ""));
  const taken = await hostOfAnother(db, accountId, hosts);
  if (taken === null) return;
  throw new Failure("access_invalid", {
    message: `"${taken}" belongs to another account, which alone puts it behind Access`,
    facts: { host: taken },
  });
}

function refuseTaken(domains: readonly string[], others: readonly AccessApplicationRow[]): void {
  for (const other of others) {
    const taken = other.domains.find((domain) => domains.includes(domain));
    if (taken === undefined) continue;
    throw new Failure("access_invalid", {
      message: `the application "${other.name}" has the domain "${taken}" already`,
    });
  }
}

function resourceOf({ id, name }: AccessApplicationRow): {
  type: string;
  id: string;
  name: string;
} {
  return { type: "access_application", id, name };
}

export function applicationFacts(row: AccessApplicationRow): Record<string, unknown> {
  return { name: row.name, domains: row.domains, policies: row.policies };
}

function shown(
  row: AccessApplicationRow,
  policies: readonly AccessPolicyRow[],
  applications: readonly AccessApplicationRow[],
): Record<string, unknown> {
  const domains = row.domains;
  return {
    id: row.id,
    uid: row.id,
    aud: row.aud,
    name: row.name,
    type: "self_hosted",
    domain: domains[0],
    self_hosted_domains: domains,
    destinations: domains.map((uri) => ({ type: "public", uri })),
    ...row.settings,
    policies: row.policies.flatMap((id, index) => {
      const policy = policies.find((one) => one.id === id);
      return policy ? [{ ...shownPolicy(policy, applications), precedence: index + 1 }] : [];
    }),
    created_at: row.createdOn,
    updated_at: row.updatedOn,
  };
}
