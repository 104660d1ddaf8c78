import { z } from "@hono/zod-openapi";
import { randomBytes } from "node:crypto";
import { Failure } from "../../failures/failures.ts";
import type { Audit } from "../../store/access/audit.ts";
import type { Database } from "../../store/database.ts";
import { deleteDnsRecord, listDnsRecords, putDnsRecord } from "../../store/hosts/dns-records.ts";
import type { DnsRecordRow } from "../../store/schema.ts";
import { applyChange } from "../api/apply-change.ts";
import { actorOf, type Caller } from "../api/auth.ts";
import type { ControlContext } from "../api/context.ts";
import { endpoint, type Endpoint } from "../api/endpoint.ts";
import { list } from "../api/envelope.ts";
import { oneLine } from "../api/text.ts";
import { existingZone } from "./custom-certificates.ts";
import { dnsFilter, filtered } from "./dns-filter.ts";
import { type DnsRecordBody, parsedRecord, shownRecord } from "./dns-record.ts";
import { hostOfAnother } from "./host-owners.ts";
import type { Zone } from "./zones.ts";

const nothing = z.union([z.null(), z.literal(false)]).optional();

/** What clients may send. What is not kept is taken where it says nothing. */
const recordBody = z.strictObject({
  type: oneLine.max(20),
  name: oneLine.min(1).max(255),
  content: oneLine.max(4096),
  ttl: z.number().optional(),
  proxied: z.boolean().nullish(),
  comment: oneLine.max(500).nullish(),
  tags: z.array(oneLine.max(132)).max(20).nullish(),
  settings: z
    .strictObject({ ipv4_only: nothing, ipv6_only: nothing, flatten_cname: nothing })
    .nullish(),
  private_routing: nothing,
  priority: z.null().optional(),
  data: z.null().optional(),
  id: oneLine.optional(),
});

type Params = Readonly<Record<string, string>>;

/**
 * The records of a zone, as Cloudflare's SDK and Terraform keep them. Nobody is served DNS from
 * them: a proxied one says where the origin of its host is.
 */
export function dnsRecordEndpoints(context: ControlContext): readonly Endpoint[] {
  const { store, edge, clock, limits } = context;
  const path = "/zones/{zone_id}/dns_records";
  const one = `${path}/{dns_record_id}`;
  /** @param decide what the record becomes. Null: nothing */
  const change = (
    caller: Caller,
    params: Params,
    action: Audit["action"],
    decide: (
      before: DnsRecordRow | null,
      zone: Zone,
    ) => Pick<DnsRecordRow, "name"> & Partial<DnsRecordRow>,
  ): Promise<DnsRecordRow> =>
    applyChange({ store, edge }, async ({ db, changed }) => {
      const { accountId } = caller;
      const zone = await existingZone(db, accountId, params["zone_id"]);
      const id = params["dns_record_id"];
      const before = id === undefined ? null : await existing(db, accountId, zone, id);
      const now = clock().toISOString();
      const row = {
        id: before?.id ?? randomBytes(16).toString("hex"),
        accountId,
        zone: zone.name,
        createdOn: now,
        ...before,
        ...decide(before, zone),
        modifiedOn: now,
      } as DnsRecordRow;
      await refuseConflict(db, row);
      if (before === null) await refuseMoreThan(db, accountId, limits.dnsRecords);
      await putDnsRecord(db, row);
      await changed({ kind: "hosts", accountId });
      const after = shownRecord(row) as Record<string, unknown>;
      return { value: row, audit: { ...auditOf(caller, action, row), after } };
    });
  /** A record as it is sent, whole. */
  const written = (at: Pick<Endpoint, "method" | "path" | "summary">): Endpoint =>
    endpoint(
      { ...at, scope: "ssl_certs:write", body: recordBody },
      async ({ caller, params, body }) => ({
        result: shownRecord(
          await change(caller, params, "host.dns", (_, zone) => parsedRecord(body, zone)),
        ),
      }),
    );
  return [
    endpoint(
      {
        method: "get",
        path,
        summary: "The DNS records of a zone",
        scope: "ssl_certs:read",
        query: dnsFilter,
      },
      async ({ caller: { accountId }, params, query }) => {
        const zone = await existingZone(store.db, accountId, params["zone_id"]);
        const rows = await listDnsRecords(store.db, accountId, zone.name);
        return list(filtered(rows, query).map(shownRecord));
      },
    ),
    written({ method: "post", path, summary: "Add a DNS record" }),
    endpoint(
      { method: "get", path: one, summary: "A DNS record", scope: "ssl_certs:read" },
      async ({ caller: { accountId }, params }) => {
        const zone = await existingZone(store.db, accountId, params["zone_id"]);
        const row = await existing(store.db, accountId, zone, params["dns_record_id"]);
        return { result: shownRecord(row) };
      },
    ),
    written({ method: "put", path: one, summary: "Replace a DNS record" }),
    endpoint(
      {
        method: "patch",
        path: one,
        summary: "Change fields of a DNS record",
        scope: "ssl_certs:write",
        body: recordBody.partial(),
      },
      async ({ caller, params, body }) => ({
        result: shownRecord(
          await change(caller, params, "host.dns", (before, zone) =>
            parsedRecord(patched(before!, body), zone),
          ),
        ),
      }),
    ),
    endpoint(
      { method: "delete", path: one, summary: "Delete a DNS record", scope: "ssl_certs:write" },
      async ({ caller, params }) => {
        const { accountId } = caller;
        const id = await applyChange({ store, edge }, async ({ db, changed }) => {
          const zone = await existingZone(db, accountId, params["zone_id"]);
          const row = await existing(db, accountId, zone, params["dns_record_id"]);
          await deleteDnsRecord(db, row.id);
          await changed({ kind: "hosts", accountId });
          return { value: row.id, audit: auditOf(caller, "host.dns.delete", row) };
        });
        return { result: { id } };
      },
    ),
  ];
}

/** What is not named stays. */
function patched(
  before: DnsRecordRow,
  body: { readonly [F in keyof DnsRecordBody]?: DnsRecordBody[F] | undefined },
): DnsRecordBody {
  const { name, type, content, ttl, proxied, comment, tags } = before;
  return {
    name: body.name ?? name,
    type: body.type ?? type,
    content: body.content ?? content,
    ttl: body.ttl ?? ttl,
    proxied: body.proxied ?? proxied === 1,
    comment: body.comment === undefined ? comment : body.comment,
    tags: body.tags === undefined ? tags : body.tags,
  };
}

/** @throws Failure `dns_record_not_found` */
async function existing(
  db: Database,
  accountId: string,
  zone: Zone,
  id: string | undefined,
): Promise<DnsRecordRow> {
  const row = (await listDnsRecords(db, accountId, zone.name)).find((other) => other.id === id);
  if (row !== undefined) return row;
  throw new Failure("dns_record_not_found");
}

/** @throws Failure `host_origin_taken`, `dns_name_taken`, `dns_record_exists`, `dns_record_identical` */
async function refuseConflict(db: Database, row: DnsRecordRow): Promise<void> {
  const { accountId, id, name, type } = row;
  if (row.proxied === 1 && (await hostOfAnother(db, accountId, [name])) !== null) {
    throw new Failure("host_origin_taken", { message: `"${name}" belongs to another account` });
  }
  const others = (await listDnsRecords(db, accountId)).filter(
    (other) => other.name === name && other.id !== id,
  );
  const same = others.find((other) => other.type === type && other.content === row.content);
  if (same !== undefined) {
    const isIdentical =
      same.proxied === row.proxied && same.ttl === row.ttl && same.comment === row.comment;
    throw new Failure(isIdentical ? "dns_record_identical" : "dns_record_exists", {
      message: `${type} ${name} leads to "${row.content.slice(0, 253)}" already`,
    });
  }
  const addresses = others.filter((other) => other.type !== "TXT");
  if (type === "TXT" || addresses.length === 0) return;
  if (type !== "CNAME" && addresses.every((other) => other.type !== "CNAME")) return;
  throw new Failure("dns_name_taken", {
    message: `"${name}" has ${addresses.map((other) => other.type).join(", ")} already`,
  });
}

/** @throws Failure `dns_record_quota` */
async function refuseMoreThan(db: Database, accountId: string, limit: number): Promise<void> {
  if ((await listDnsRecords(db, accountId)).length < limit) return;
  throw new Failure("dns_record_quota", { message: `the account has ${limit} DNS records` });
}

function auditOf(
  caller: Caller,
  action: Audit["action"],
  { id, accountId, name }: DnsRecordRow,
): Audit {
  return { by: actorOf(caller), action, accountId, resource: { type: "dns_record", id, name } };
}
