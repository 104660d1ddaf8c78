import { z } from "@hono/zod-openapi";
import { Failure } from "../../failures/failures.ts";
import { hostPattern } from "../../network/host-pattern.ts";
import { findCertificate, listCertificates } from "../../store/certificates/certificates.ts";
import type { Database } from "../../store/database.ts";
import {
  type HostRules,
  hostsOfAuthority,
  listHostRules,
  MANAGED,
  orderHosts,
  putHostRules,
} from "../../store/hosts/host-clients.ts";
import { actorOf } from "../api/auth.ts";
import type { ControlContext } from "../api/context.ts";
import { endpoint, type Endpoint } from "../api/endpoint.ts";
import { list } from "../api/envelope.ts";
import { assertRoom } from "../api/room.ts";
import { hostOfAnother } from "../routing/host-owners.ts";
import { zonesOf } from "../routing/zones.ts";

const rules = z.object({
  mode: z.enum(["off", "optional", "required"]),
  /** Ids or names of CAs, or `managed`. Absent: unchanged. */
  authorities: z.array(z.string().max(256)).max(100).optional(),
  forward: z.boolean().optional(),
});
const association = z.object({
  hostnames: z.array(hostPattern).max(1000).default([]),
  mtls_certificate_id: z.string().max(64).optional(),
});
const associationFilter = z.object({ mtls_certificate_id: z.string().max(64).optional() });

/** What hosts require of their clients: Cloudflare's associations, and our own endpoints by host. */
export function hostRuleEndpoints({ store, edge }: ControlContext): readonly Endpoint[] {
  const hosts = "/accounts/{account_id}/countersign/hosts";
  const associations = "/zones/{zone_id}/certificate_authorities/hostname_associations";
  return [
    endpoint(
      {
        method: "get",
        path: `${hosts}/clients`,
        summary: "What each host asks of its clients",
        scope: "ssl_certs:read",
      },
      async ({ caller: { accountId } }) =>
        list((await listHostRules(store.db, accountId)).map((one) => shown(one))),
    ),
    endpoint(
      {
        method: "put",
        path: `${hosts}/{host}/clients`,
        summary: "Say what a host asks of its clients",
        scope: "ssl_certs:write",
        body: rules,
      },
      async ({ caller, params, body }) => {
        const { accountId } = caller;
        const host = parsedHost(params["host"]);
        const { value, cursor } = await store.write(async ({ db, changed }) => {
          // An account may always remove its rules for a host, even after the host has become another account's.
          if (body.mode !== "off") await refuseOthersHosts(db, accountId, [host]);
          const all = await listHostRules(db, accountId);
          const before = all.find((one) => one.host === host) ?? null;
          const authorities =
            body.authorities === undefined
              ? (before?.authorities ?? [MANAGED])
              : await authorityIds(db, accountId, body.authorities);
          const forward = body.forward === undefined ? (before?.forward ?? 0) : flag(body.forward);
          const mode = body.mode;
          const after: HostRules | null =
            mode === "off" ? null : { accountId, host, mode, authorities, forward };
          if (before === null && after !== null) await assertRoom(db, accountId, "hostClients");
          await putHostRules(db, { accountId, host }, after);
          await changed({ kind: "hosts", accountId });
          return {
            value: after,
            audit: {
              by: actorOf(caller),
              action: "client.rules",
              accountId,
              resource: { type: "host", id: host, name: host },
              before: before ? shown(before) : { host, mode: "off" },
              after: after ? shown(after) : { host, mode },
            },
          };
        });
        await edge.applied(cursor);
        return { result: value ? shown(value) : { host, mode: "off" } };
      },
    ),
    endpoint(
      {
        method: "get",
        path: associations,
        summary: "Hostnames that ask for certificates of a CA",
        scope: "ssl_certs:read",
        query: associationFilter,
      },
      async ({ caller: { accountId }, params, query }) => {
        const authorityId = query.mtls_certificate_id ?? MANAGED;
        const all = await hostsOfAuthority(store.db, { accountId, authorityId });
        const isHere = (host: string): boolean => isInZone(accountId, host, params["zone_id"]);
        return { result: { hostnames: all.filter(isHere) } };
      },
    ),
    endpoint(
      {
        method: "put",
        path: associations,
        summary: "Replace the hostnames that ask for certificates of a CA",
        scope: "ssl_certs:write",
        body: association,
      },
      async ({ caller, params, body }) => {
        const { accountId } = caller;
        const hostnames = [...new Set(body.hostnames)];
        for (const host of hostnames) {
          if (isInZone(accountId, host, params["zone_id"])) continue;
          throw new Failure("client_rules_invalid", { message: `"${host}" is not in this zone` });
        }
        const { cursor } = await store.write(async ({ db, changed }) => {
          await refuseOthersHosts(db, accountId, hostnames);
          const [id = MANAGED] = await authorityIds(db, accountId, [
            body.mtls_certificate_id ?? MANAGED,
          ]);
          const all = (await listHostRules(db, accountId)).filter(({ host }) =>
            isInZone(accountId, host, params["zone_id"]),
          );
          for (const host of new Set([...all.map((one) => one.host), ...hostnames])) {
            const before = all.find((one) => one.host === host);
            const others = (before?.authorities ?? []).filter((one) => one !== id);
            const authorities = hostnames.includes(host) ? [...others, id] : others;
            const { mode = "optional", forward = 0 } = before ?? {};
            // A host that requires a certificate keeps its rule even if no CA is left.
            const isOver = authorities.length === 0 && mode === "optional";
            const after = isOver ? null : { mode, forward, authorities };
            await putHostRules(db, { accountId, host }, after);
          }
          const known = new Set(all.map(({ host }) => host));
          if (!hostnames.every((host) => known.has(host))) {
            await assertRoom(db, accountId, "hostClients", 0);
          }
          await orderHosts(db, { accountId, authorityId: id }, hostnames);
          await changed({ kind: "hosts", accountId });
          const before = all.filter((one) => one.authorities.includes(id)).map(({ host }) => host);
          return {
            value: null,
            audit: {
              by: actorOf(caller),
              action: "client.associations",
              accountId,
              resource: { type: "authority", id },
              before: { hostnames: before },
              after: { hostnames },
            },
          };
        });
        await edge.applied(cursor);
        return { result: { hostnames } };
      },
    ),
  ];
}

function shown({ host, mode, authorities, forward }: HostRules): Record<string, unknown> {
  return { host, mode, authorities, forward: forward === 1 };
}

function flag(value: boolean): 0 | 1 {
  return value ? 1 : 0;
}

/** @throws Failure `client_rules_invalid` */
function parsedHost(text = ""): string {
  const { data, error } = hostPattern.safeParse(text);
  if (data !== undefined) return data;
  throw new Failure("client_rules_invalid", { message: `"${text}" ${error.issues[0]?.message}` });
}

/** @throws Failure `client_rules_invalid` */
async function refuseOthersHosts(
  db: Database,
  accountId: string,
  hosts: readonly string[],
): Promise<void> {
  const taken = await hostOfAnother(db, accountId, hosts);
  if (taken === null) return;
  throw new Failure("client_rules_invalid", {
    message: `"${taken}" belongs to another account`,
    fix: "Choose another host, or have the other account give it up.",
  });
}

function isInZone(accountId: string, host: string, zoneId: string | undefined): boolean {
  return zonesOf(accountId, host.replace(/^\*\./, "")).some(({ id }) => id === zoneId);
}

/** @throws Failure `client_rules_invalid` */
async function authorityIds(
  db: Database,
  accountId: string,
  named: readonly string[],
): Promise<string[]> {
  const ids: string[] = [];
  for (const name of named) {
    if (name === MANAGED) {
      ids.push(MANAGED);
      continue;
    }
    const byId = await findCertificate(db, accountId, name);
    const [byName] = byId ? [] : await listCertificates(db, accountId, { ca: true, name });
    const found = byId ?? byName;
    if (!found?.ca) {
      throw new Failure("client_rules_invalid", { message: `no CA of the account is "${name}"` });
    }
    ids.push(found.id);
  }
  return ids;
}
