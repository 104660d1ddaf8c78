import { z } from "@hono/zod-openapi";
import { applyChange } from "../api/apply-change.ts";
import { Failure } from "../../failures/failures.ts";
import {
  deleteRoute,
  deleteRoutesOfScript,
  findPattern,
  listRoutes,
} from "../../store/workers/routes.ts";
import type { RouteWithScript } from "../../store/workers/routes.ts";
import type { Write } from "../../store/store.ts";
import { list } from "../api/envelope.ts";
import { actorOf, type Caller } from "../api/auth.ts";
import type { ControlContext } from "../api/context.ts";
import { endpoint, type Endpoint } from "../api/endpoint.ts";
import { oneLine } from "../api/text.ts";
import { existingScript, keyOf } from "../workers/lookup.ts";
import { addAll, patternsOf } from "./routes.ts";
import { isHost, refuseOwnHosts, zoneOf, zonesOf } from "./zones.ts";

const origin = z.object({ hostname: oneLine, enabled: z.boolean().optional() });
const origins = z.array(origin).max(1000);
const replacement = z.object({
  origins,
  override_existing_origin: z.boolean().default(false),
});

const attachment = z.object({
  hostname: oneLine,
  service: oneLine,
  environment: z.enum(["production", ""]).nullish(),
  zone_id: oneLine.optional(),
  zone_name: oneLine.optional(),
});
const filter = z.object({
  hostname: z.string().optional(),
  service: z.string().optional(),
  environment: z.string().optional(),
  zone_id: z.string().optional(),
  zone_name: z.string().optional(),
});

/** `custom_domain: true` in the configuration: all requests to a host lead to one script. */
export function domainEndpoints({ store, edge }: ControlContext): readonly Endpoint[] {
  const path = "/accounts/{account_id}/workers/scripts/{script_name}/domains";
  const domainsOf = async (accountId: string): Promise<RouteWithScript[]> =>
    (await listRoutes(store.db, accountId)).filter(({ kind }) => kind === "custom_domain");
  const existing = async (
    caller: Caller,
    params: Readonly<Record<string, string>>,
  ): Promise<RouteWithScript> => {
    const domains = await domainsOf(caller.accountId);
    const domain = domains.find(({ id }) => id === params["domain_id"]);
    if (!domain) throw new Failure("route_of_script_not_found");
    return domain;
  };
  /** If another script of the account has the host, this script takes it over. */
  const attach = async (
    caller: Caller,
    host: string,
    { service, zone_id: zoneId, zone_name: zoneName }: z.output<typeof attachment>,
  ): Promise<RouteWithScript> => {
    const { accountId } = caller;
    const zones = zonesOf(accountId, host);
    const isInZone = zones.some(
      ({ id, name }) => id === (zoneId ?? id) && name === (zoneName ?? name),
    );
    if (!isInZone) {
      throw new Failure("route_invalid", {
        message: `"${host}" is not in the zone "${(zoneName ?? zoneId ?? "").slice(0, 253)}"`,
      });
    }
    const value = await applyChange({ store, edge }, async (write) => {
      const script = await existingScript(write.db, { caller, params: { script_name: service } });
      const holder = await findPattern(write.db, host);
      const isThere = holder?.scriptId === script.id && holder.kind === "custom_domain";
      if (!isThere) {
        await takeOver(write, accountId, [host]);
        await addAll(write, script, "custom_domain", [host]);
      }
      return {
        value: (await findPattern(write.db, host))!,
        audit: {
          by: actorOf(caller),
          action: "script.domains" as const,
          accountId,
          resource: { type: "script" as const, id: script.id, name: script.name },
          before: { host, script: holder?.scriptName ?? null },
          after: { host, script: service },
        },
      };
    });
    return value;
  };
  return [
    endpoint(
      {
        method: "post",
        path: `${path}/changeset`,
        summary: "What replacing the custom domains would change",
        scope: "workers_routes:read",
        body: origins,
      },
      async (call) => {
        const { accountId, scriptName } = keyOf(call);
        const wanted = hostsOf(call.body);
        const there = await domainsOf(accountId);
        const held = (host: string): RouteWithScript | undefined =>
          there.find(({ pattern }) => pattern === host);
        const updated = wanted.flatMap((host) => held(host) ?? []);
        return {
          result: {
            added: wanted.filter((host) => !held(host)).map((hostname) => ({ hostname })),
            updated: updated.map((domain) =>
              shown(domain, { modified: domain.scriptName !== scriptName }),
            ),
            removed: there
              .filter((d) => d.scriptName === scriptName && !wanted.includes(d.pattern))
              .map((domain) => shown(domain)),
            conflicting: [],
          },
        };
      },
    ),
    endpoint(
      {
        method: "put",
        path: `${path}/records`,
        summary: "Replace the custom domains of a script",
        scope: "workers_routes:write",
        body: replacement,
      },
      async (call) => {
        const hosts = hostsOf(call.body.origins);
        await applyChange({ store, edge }, async (write) => {
          const script = await existingScript(write.db, call);
          const before = await patternsOf(write.db, script, "custom_domain");
          await deleteRoutesOfScript(write.db, script.id, "custom_domain");
          if (call.body.override_existing_origin) await takeOver(write, script.accountId, hosts);
          await addAll(write, script, "custom_domain", hosts);
          return {
            value: null,
            audit: {
              by: actorOf(call.caller),
              action: "script.domains",
              accountId: script.accountId,
              resource: { type: "script", id: script.id, name: script.name },
              before: { hosts: before },
              after: { hosts },
            },
          };
        });
        const { accountId, scriptName } = keyOf(call);
        const domains = await domainsOf(accountId);
        return list(
          domains.filter((domain) => domain.scriptName === scriptName).map((d) => shown(d)),
        );
      },
    ),
    endpoint(
      {
        method: "get",
        path: "/accounts/{account_id}/workers/domains",
        summary: "List custom domains",
        scope: "workers_routes:read",
        query: filter,
      },
      async ({ caller, query }) =>
        list(
          (await domainsOf(caller.accountId))
            .map((domain) => shown(domain))
            .filter((domain) =>
              Object.entries(query).every(([field, value]) => domain[field] === value),
            ),
        ),
    ),
    endpoint(
      {
        method: "put",
        path: "/accounts/{account_id}/workers/domains",
        summary: "Lead a host to a script",
        scope: "workers_routes:write",
        body: attachment,
      },
      async ({ caller, body }) => {
        const [host = ""] = hostsOf([{ hostname: body.hostname }]);
        const domain = await attach(caller, host, body);
        return { result: shown(domain) };
      },
    ),
    endpoint(
      {
        method: "get",
        path: "/accounts/{account_id}/workers/domains/{domain_id}",
        summary: "One custom domain",
        scope: "workers_routes:read",
      },
      async ({ caller, params }) => ({ result: shown(await existing(caller, params)) }),
    ),
    endpoint(
      {
        method: "delete",
        path: "/accounts/{account_id}/workers/domains/{domain_id}",
        summary: "Lead a host nowhere",
        scope: "workers_routes:write",
      },
      async ({ caller, params }) => {
        const domain = await existing(caller, params);
        await applyChange({ store, edge }, async (write) => {
          await deleteRoute(write.db, domain.id);
          const { accountId, scriptName, scriptId, pattern } = domain;
          await write.changed({ kind: "script", accountId, scriptName });
          return {
            value: null,
            audit: {
              by: actorOf(caller),
              action: "script.domains",
              accountId,
              resource: { type: "script", id: scriptId, name: scriptName },
              before: { hosts: [pattern] },
              after: { hosts: [] },
            },
          };
        });
        return { result: { id: domain.id } };
      },
    ),
    endpoint(
      {
        method: "get",
        path: "/accounts/{account_id}/workers/domains/records/{domain_id}",
        summary: "One custom domain",
        scope: "workers_routes:read",
      },
      async ({ caller, params }) => ({ result: shown(await existing(caller, params)) }),
    ),
  ];
}

/** Removes hosts from other scripts of the account. */
async function takeOver(write: Write, accountId: string, hosts: readonly string[]): Promise<void> {
  for (const host of hosts) {
    const holder = await findPattern(write.db, host);
    if (holder?.accountId !== accountId) continue;
    await deleteRoute(write.db, holder.id);
    await write.changed({ kind: "script", accountId, scriptName: holder.scriptName });
  }
}

/** @throws Failure `route_invalid` */
function hostsOf(wanted: z.output<typeof origins>): string[] {
  const hosts = wanted.flatMap(({ hostname, enabled }) =>
    enabled === false ? [] : [hostname.toLowerCase()],
  );
  const wrong = hosts.find((host) => !isHost(host));
  if (wrong === undefined) {
    hosts.forEach(refuseOwnHosts);
    return [...new Set(hosts)];
  }
  throw new Failure("route_invalid", {
    message: `"${wrong.slice(0, 200)}" cannot be a custom domain`,
    fix: "A custom domain is a whole host name, without a path and without `*`.",
  });
}

function shown(domain: RouteWithScript, more: object = {}): Record<string, unknown> {
  const { id, accountId, pattern, scriptName } = domain;
  const zone = zoneOf(accountId, pattern);
  return {
    id,
    hostname: pattern,
    service: scriptName,
    environment: "production",
    zone_id: zone.id,
    zone_name: zone.name,
    // The id of the host's certificate. The domain does not decide which certificate the host presents, so it is empty.
    cert_id: "",
    enabled: true,
    previews_enabled: false,
    ...more,
  };
}
