import { z } from "@hono/zod-openapi";
import { randomBytes } from "node:crypto";
import { applyChange } from "../api/apply-change.ts";
import { Failure } from "../../failures/failures.ts";
import {
  deleteRoute,
  deleteRoutesOfScript,
  findPattern,
  insertRoute,
  listRoutes,
  type RouteWithScript,
} from "../../store/workers/routes.ts";
import { listZones } from "../../store/hosts/zones.ts";
import type { RouteRow, ScriptRow } from "../../store/schema.ts";
import type { Audit, AuditAction } from "../../store/access/audit.ts";
import type { Database } from "../../store/database.ts";
import type { Done, Write } from "../../store/store.ts";
import { list } from "../api/envelope.ts";
import { actorOf, type Caller } from "../api/auth.ts";
import type { ControlContext } from "../api/context.ts";
import { assertRoom } from "../api/room.ts";
import { endpoint, type Endpoint } from "../api/endpoint.ts";
import { existingScript } from "../workers/lookup.ts";
import { hostOfAnother } from "./host-owners.ts";
import { hostOf, isHost, routePattern, zoneNamed, zoneOf, zonesOf } from "./zones.ts";

/** The pattern of a route. */
const sentPattern = z.string().max(2048);
const replacement = z.array(z.object({ pattern: sentPattern })).max(1000);
const addition = z.object({
  pattern: sentPattern,
  // At Cloudflare a route without a Worker excludes a host from other routes; here nothing else would answer.
  script: z.string("is missing: a route without a Worker leads nowhere here").max(255),
});
const zoneFilter = z.object({ name: z.string().optional(), "account.id": z.string().optional() });

/** `routes` in the configuration, and the zones that wrangler looks up for them. */
export function routeEndpoints({ store, edge }: ControlContext): readonly Endpoint[] {
  const zoneRoutes = "/zones/{zone_id}/workers/routes";
  const write = <T>(work: (write: Write) => Promise<Done<T>>): Promise<T> =>
    applyChange({ store, edge }, work);
  const routesIn = async (accountId: string, zoneId = ""): Promise<RouteWithScript[]> =>
    (await listRoutes(store.db, accountId)).filter(
      ({ kind, pattern }) =>
        kind === "route" && zonesOf(accountId, hostOf(pattern)).some(({ id }) => id === zoneId),
    );
  const existing = async (
    caller: Caller,
    params: Readonly<Record<string, string>>,
  ): Promise<RouteWithScript> => {
    const routes = await routesIn(caller.accountId, params["zone_id"]);
    const route = routes.find(({ id }) => id === params["route_id"]);
    if (!route) throw new Failure("route_of_script_not_found");
    return route;
  };
  return [
    endpoint(
      {
        method: "put",
        path: "/accounts/{account_id}/workers/scripts/{script_name}/routes",
        summary: "Replace the routes of a script",
        scope: "workers_routes:write",
        body: replacement,
      },
      async (call) => {
        const patterns = [...new Set(call.body.map(({ pattern }) => routePattern(pattern)))];
        const routes = await write(async (w) => {
          const script = await existingScript(w.db, call);
          const before = await patternsOf(w.db, script, "route");
          await deleteRoutesOfScript(w.db, script.id, "route");
          const added = await addAll(w, script, "route", patterns);
          return {
            value: added,
            audit: {
              ...routesAudit(call.caller, "routes.replace", script),
              before: { patterns: before },
              after: { patterns },
            },
          };
        });
        return list(
          routes.map((route) => shown({ ...route, scriptName: call.params["script_name"] ?? "" })),
        );
      },
    ),
    endpoint(
      {
        method: "get",
        path: "/zones",
        summary: "Find zones",
        scope: "zone:read",
        query: zoneFilter,
      },
      async ({ caller: { accountId }, query }) => {
        if ((query["account.id"] ?? accountId) !== accountId) throw new Failure("not_permitted");
        const names =
          query.name === undefined
            ? [
                ...(await listZones(store.db, accountId)).map(({ name }) => name),
                ...(await listRoutes(store.db, accountId)).map(
                  ({ pattern }) => zoneOf(accountId, hostOf(pattern)).name,
                ),
              ]
            : [query.name.toLowerCase()].filter(isHost);
        return list([...new Set(names)].map((name) => shownZone(accountId, name)));
      },
    ),
    endpoint(
      {
        method: "get",
        path: "/zones/{zone_id}",
        summary: "One zone",
        scope: "zone:read",
      },
      async ({ caller: { accountId }, params }) => {
        assertZoneId(params["zone_id"]);
        const made = await listZones(store.db, accountId);
        const routes = await listRoutes(store.db, accountId);
        const derived = routes
          .flatMap(({ pattern }) => zonesOf(accountId, hostOf(pattern)))
          .find(({ id }) => id === params["zone_id"]);
        const zone = made.find(({ id }) => id === params["zone_id"]) ?? derived;
        if (zone) return { result: shownZone(accountId, zone.name) };
        throw new Failure("route_of_script_not_found", {
          message: `no route or custom domain is in the zone ${params["zone_id"]}`,
        });
      },
    ),
    endpoint(
      {
        method: "get",
        path: zoneRoutes,
        summary: "The routes in a zone",
        scope: "workers_routes:read",
      },
      async ({ caller, params }) => {
        assertZoneId(params["zone_id"]);
        return list((await routesIn(caller.accountId, params["zone_id"])).map(shown));
      },
    ),
    endpoint(
      {
        method: "post",
        path: zoneRoutes,
        summary: "Add a route",
        scope: "workers_routes:write",
        body: addition,
      },
      async ({ caller, body, params }) => {
        const pattern = inZone(caller.accountId, params["zone_id"], body.pattern);
        const route = await write(async (w) => {
          const call = { caller, params: { ...params, script_name: body.script } };
          const script = await existingScript(w.db, call);
          const [added] = await addAll(w, script, "route", [pattern]);
          return {
            value: added,
            audit: { ...routesAudit(caller, "routes.create", script), after: { pattern } },
          };
        });
        return { result: { id: route?.id, pattern, script: body.script } };
      },
    ),
    endpoint(
      {
        method: "get",
        path: `${zoneRoutes}/{route_id}`,
        summary: "One route",
        scope: "workers_routes:read",
      },
      async ({ caller, params }) => ({ result: shown(await existing(caller, params)) }),
    ),
    endpoint(
      {
        method: "put",
        path: `${zoneRoutes}/{route_id}`,
        summary: "Change a route",
        scope: "workers_routes:write",
        body: addition,
      },
      async ({ caller, body, params }) => {
        const before = await existing(caller, params);
        const pattern = inZone(caller.accountId, params["zone_id"], body.pattern);
        await write(async (w) => {
          const call = { caller, params: { script_name: body.script } };
          const script = await existingScript(w.db, call);
          await deleteRoute(w.db, before.id);
          const { accountId, scriptName } = before;
          await w.changed({ kind: "script", accountId, scriptName });
          await addAll(w, script, "route", [pattern], before.id);
          return {
            value: null,
            audit: {
              ...routesAudit(caller, "routes.create", script),
              before: { pattern: before.pattern, script: scriptName },
              after: { pattern },
            },
          };
        });
        return { result: { id: before.id, pattern, script: body.script } };
      },
    ),
    endpoint(
      {
        method: "delete",
        path: `${zoneRoutes}/{route_id}`,
        summary: "Delete a route",
        scope: "workers_routes:write",
      },
      async ({ caller, params }) => {
        const route = await existing(caller, params);
        await write(async (w) => {
          await deleteRoute(w.db, route.id);
          const { accountId, scriptName } = route;
          await w.changed({ kind: "script", accountId, scriptName });
          const script = { id: route.scriptId, name: scriptName, accountId };
          const before = { pattern: route.pattern };
          return {
            value: null,
            audit: { ...routesAudit(caller, "routes.delete", script), before },
          };
        });
        return { result: { id: route.id } };
      },
    ),
  ];
}

/**
 * Makes patterns lead to a script, and tells the edge. A host belongs to the account that came first.
 *
 * @param keepId of a route that is replaced; only for one pattern
 * @throws Failure `route_taken` if a pattern leads to another script, or its hosts belong to another account;
 * `account_full`
 */
export async function addAll(
  { db, changed }: Write,
  script: ScriptRow,
  kind: RouteRow["kind"],
  patterns: readonly string[],
  keepId?: string,
): Promise<RouteRow[]> {
  const added: RouteRow[] = [];
  const anothers = await hostOfAnother(db, script.accountId, patterns);
  if (anothers !== null) {
    throw new Failure("route_taken", {
      message: `the route "${anothers}" is in hosts of another account`,
      fix: "Use a host of your own: one that no other account's zones, routes and certificates have.",
      facts: { pattern: anothers },
    });
  }
  const replaced = keepId === undefined ? 0 : 1;
  await assertRoom(db, script.accountId, "routes", patterns.length - replaced);
  for (const pattern of patterns) {
    const taken = await findPattern(db, pattern);
    if (taken) throw routeTaken(pattern, `the Worker "${taken.scriptName}"`);
    const id = keepId ?? randomBytes(16).toString("hex");
    const route = { id, accountId: script.accountId, scriptId: script.id, kind, pattern };
    await insertRoute(db, route);
    added.push(route);
  }
  await changed({ kind: "script", accountId: script.accountId, scriptName: script.name });
  return added;
}

/** The patterns that led to a script before it was changed. */
export async function patternsOf(
  db: Database,
  script: ScriptRow,
  kind: RouteRow["kind"],
): Promise<string[]> {
  const routes = await listRoutes(db, script.accountId);
  return routes
    .filter((route) => route.scriptId === script.id && route.kind === kind)
    .map(({ pattern }) => pattern);
}

/** Zone ids are derived from names, so any name has one. Text that is not an id is refused. */
function assertZoneId(zoneId = ""): void {
  if (/^[0-9a-f]{32}$/.test(zoneId)) return;
  throw new Failure("route_not_found", {
    message: `"${zoneId.slice(0, 100)}" is not the id of a zone`,
    fix: "Take it from `GET /zones?name=…`.",
  });
}

/** @throws Failure `route_invalid`, also for a pattern of another zone */
function inZone(accountId: string, zoneId: string | undefined, text: string): string {
  assertZoneId(zoneId);
  const pattern = routePattern(text);
  if (zonesOf(accountId, hostOf(pattern)).some(({ id }) => id === zoneId)) return pattern;
  throw new Failure("route_invalid", {
    message: `"${pattern}" is not in the zone ${zoneId}`,
    fix: "Take the zone of the pattern's own host, from `GET /zones?name=…`.",
  });
}

function routesAudit(
  caller: Caller,
  action: AuditAction,
  { id, name, accountId }: Pick<ScriptRow, "id" | "name" | "accountId">,
): Audit {
  return { by: actorOf(caller), action, accountId, resource: { type: "script", id, name } };
}

function routeTaken(pattern: string, holder: string): Failure {
  return new Failure("route_taken", {
    message: `the route "${pattern}" already leads to ${holder}`,
    facts: { pattern },
  });
}

function shown({ id, accountId, pattern, scriptName }: RouteWithScript): object {
  const zone = zoneOf(accountId, hostOf(pattern));
  return { id, pattern, script: scriptName, zone_name: zone.name };
}

export function shownZone(accountId: string, name: string): object {
  const { id } = zoneNamed(accountId, name);
  return {
    id,
    name,
    account: { id: accountId, name: "" },
    status: "active",
    type: "full",
    paused: false,
    permissions: [],
    // Countersign has no name servers: the platform's operator decides where names lead.
    name_servers: [],
    original_name_servers: null,
    original_dnshost: null,
    original_registrar: null,
    development_mode: 0,
    owner: { id: accountId, name: "", type: "organization" },
    plan: { id: "0feeeeeeeeeeeeeeeeeeeeeeeeeeeeee", name: "Countersign", price: 0 },
    meta: {
      cdn_only: false,
      custom_certificate_quota: 0,
      dns_only: false,
      phishing_detected: false,
    },
    created_on: BEGINNING,
    modified_on: BEGINNING,
    activated_on: BEGINNING,
  };
}

/** A zone that follows from a route was never created, so it has no date. */
const BEGINNING = "1970-01-01T00:00:00.000Z";
