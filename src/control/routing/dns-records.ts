import { Failure } from "../../failures/failures.ts";
import type { Audit } from "../../store/access/audit.ts";
import { listDnsRecords } from "../../store/hosts/dns-records.ts";
import type { DnsRecordRow } from "../../store/schema.ts";
import { applyChange } from "../api/apply-change.ts";
import { actorOf, type Caller } from "../api/auth.ts";
import type { ControlContext } from "../api/context.ts";
import { endpoint, type Endpoint } from "../api/endpoint.ts";
import { list } from "../api/envelope.ts";
import { existingZone } from "./custom-certificates.ts";
import { dnsFilter, filtered } from "./dns-filter.ts";
import { dnsBulkEndpoints } from "./dns-bulk.ts";
import { DnsChanges, type OpenZone } from "./dns-changes.ts";
import { parsedRecord, patched, type RecordContent, shownRecord } from "./dns-record.ts";
import { recordBody, recordPatch } from "./dns-body.ts";
import type { Zone } from "./zones.ts";

type Params = Readonly<Record<string, string>>;

/**
 * The records of a zone, in the form that Cloudflare's SDK and Terraform use. Countersign serves no DNS: a proxied
 * record says where the origin of its host is.
 */
export function dnsRecordEndpoints(context: ControlContext): readonly Endpoint[] {
  const { store, edge, clock, limits } = context;
  const path = "/zones/{zone_id}/dns_records";
  const one = `${path}/{dns_record_id}`;
  const opened = ({ accountId }: Caller, params: Params): OpenZone => ({
    accountId,
    zoneId: params["zone_id"],
    limit: limits.dnsRecords,
    now: clock(),
  });
  /** @param decide returns the new content. Null: the record is deleted */
  const change = (
    caller: Caller,
    params: Params,
    action: Audit["action"],
    decide: (before: DnsRecordRow | null, zone: Zone) => RecordContent,
  ): Promise<DnsRecordRow> =>
    applyChange({ store, edge }, async ({ db, changed }) => {
      const { accountId } = caller;
      const changes = await DnsChanges.open(db, opened(caller, params));
      const id = params["dns_record_id"];
      const before = id === undefined ? null : changes.find(id);
      const row = await changes.put(before, decide(before, changes.zone));
      await changed({ kind: "hosts", accountId });
      const after = shownRecord(row) as Record<string, unknown>;
      return { value: row, audit: { ...auditOf(caller, action, row), after } };
    });
  /** The endpoint for a record that is sent whole. */
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
    ...dnsBulkEndpoints(context),
    endpoint(
      { method: "get", path: one, summary: "A DNS record", scope: "ssl_certs:read" },
      async ({ caller: { accountId }, params }) => {
        const zone = await existingZone(store.db, accountId, params["zone_id"]);
        const rows = await listDnsRecords(store.db, accountId, zone.name);
        const row = rows.find(({ id }) => id === params["dns_record_id"]);
        if (row === undefined) throw new Failure("dns_record_not_found");
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
        body: recordPatch,
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
          const changes = await DnsChanges.open(db, opened(caller, params));
          const row = await changes.delete(params["dns_record_id"]);
          await changed({ kind: "hosts", accountId });
          return { value: row.id, audit: auditOf(caller, "host.dns.delete", row) };
        });
        return { result: { id } };
      },
    ),
  ];
}

function auditOf(
  caller: Caller,
  action: Audit["action"],
  { id, accountId, name }: DnsRecordRow,
): Audit {
  return { by: actorOf(caller), action, accountId, resource: { type: "dns_record", id, name } };
}
