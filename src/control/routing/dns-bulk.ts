import { Failure } from "../../failures/failures.ts";
import type { Audit } from "../../store/access/audit.ts";
import { listDnsRecords } from "../../store/hosts/dns-records.ts";
import type { DnsRecordRow } from "../../store/schema.ts";
import { applyChange } from "../api/apply-change.ts";
import { actorOf, type Caller } from "../api/auth.ts";
import type { ControlContext } from "../api/context.ts";
import { endpoint, type Endpoint } from "../api/endpoint.ts";
import { existingZone } from "./custom-certificates.ts";
import { batchBody, type DnsBatch, MOST_CHANGES } from "./dns-body.ts";
import { DnsChanges } from "./dns-changes.ts";
import { parsedRecord, patched, shownRecord } from "./dns-record.ts";
import { readZoneFile, writeZoneFile, type ZoneFileRecord } from "./zone-file.ts";

/** Characters of a zone file. */
const LARGEST_FILE = 1_048_576;

/** The results of a batch, in the order in which Cloudflare applies it. */
interface Done {
  readonly deletes: DnsRecordRow[];
  readonly patches: DnsRecordRow[];
  readonly puts: DnsRecordRow[];
  readonly posts: DnsRecordRow[];
}

/** Many records at once: all changes of a call are made, or none. */
export function dnsBulkEndpoints(context: ControlContext): readonly Endpoint[] {
  const { store, edge, clock, limits } = context;
  const path = "/zones/{zone_id}/dns_records";
  const scope = "ssl_certs:write";
  /** Runs `work` in one transaction. */
  const together = <T>(
    caller: Caller,
    zoneId: string | undefined,
    work: (changes: DnsChanges) => Promise<{ value: T; changed: object | null }>,
  ): Promise<T> =>
    applyChange({ store, edge }, async ({ db, changed }) => {
      const { accountId } = caller;
      const options = { accountId, zoneId, limit: limits.dnsRecords, now: clock() };
      const changes = await DnsChanges.open(db, options);
      const { value, changed: after } = await work(changes);
      if (after === null) return { value, audit: null };
      await changed({ kind: "hosts", accountId });
      const { id, name } = changes.zone;
      const audit: Audit = {
        by: actorOf(caller),
        action: "host.dns",
        accountId,
        resource: { type: "dns_record", id, name },
        after: after as Record<string, unknown>,
      };
      return { value, audit };
    });
  return [
    endpoint(
      {
        method: "post",
        path: `${path}/batch`,
        summary: "Change many DNS records: all of it, or nothing",
        scope,
        body: batchBody,
      },
      async ({ caller, params, body }) => {
        refuseMany(body);
        const done = await together(caller, params["zone_id"], async (changes) => {
          const value = await batched(changes, body);
          const isNothing = Object.values(value).every((rows: DnsRecordRow[]) => rows.length === 0);
          return {
            value,
            changed: isNothing ? null : mapped(value, ({ type, name }) => `${type} ${name}`),
          };
        });
        return { result: mapped(done, shownRecord) };
      },
    ),
    endpoint(
      {
        method: "post",
        path: `${path}/import`,
        summary: "Add the DNS records of a BIND zone file: all of them, or none",
        scope,
        body: "form",
      },
      async ({ caller, params, body }) => {
        const text = await fileIn(body);
        const isProxied = proxiedIn(body);
        const result = await together(caller, params["zone_id"], async (changes) => {
          const read = readZoneFile(text, changes.zone.name);
          const added: string[] = [];
          for (const record of read) {
            const content = parsedRecord(bodyOf(record, isProxied), changes.zone);
            // Records that exist already are skipped, so importing a file again adds only what is new.
            if (changes.has(content)) continue;
            await changes.put(null, content);
            added.push(`${content.type} ${content.name}`);
          }
          const value = { recs_added: added.length, total_records_parsed: read.length };
          return { value, changed: added.length === 0 ? null : { posts: added } };
        });
        return { result };
      },
    ),
    endpoint(
      {
        method: "get",
        path: `${path}/export`,
        summary: "The DNS records of a zone, as a BIND zone file",
        scope: "ssl_certs:read",
      },
      async ({ caller: { accountId }, params }) => {
        const zone = await existingZone(store.db, accountId, params["zone_id"]);
        const rows = await listDnsRecords(store.db, accountId, zone.name);
        const records = rows.map((row) => ({ ...row, proxied: row.proxied === 1 }));
        const headers = {
          "content-type": "text/plain; charset=utf-8",
          "content-disposition": `attachment; filename="${zone.name}.txt"`,
        };
        return new Response(writeZoneFile(zone.name, records), { headers });
      },
    ),
  ];
}

async function batched(changes: DnsChanges, body: DnsBatch): Promise<Done> {
  const { zone } = changes;
  const done: Done = { deletes: [], patches: [], puts: [], posts: [] };
  for (const { id } of body.deletes ?? []) done.deletes.push(await changes.delete(id));
  for (const { id, ...fields } of body.patches ?? []) {
    const before = changes.find(id);
    done.patches.push(await changes.put(before, parsedRecord(patched(before, fields), zone)));
  }
  for (const { id, ...fields } of body.puts ?? []) {
    done.puts.push(await changes.put(changes.find(id), parsedRecord(fields, zone)));
  }
  for (const fields of body.posts ?? []) {
    done.posts.push(await changes.put(null, parsedRecord(fields, zone)));
  }
  return done;
}

function mapped(
  { deletes, patches, puts, posts }: Done,
  as: (row: DnsRecordRow) => unknown,
): object {
  return {
    deletes: deletes.map(as),
    patches: patches.map(as),
    puts: puts.map(as),
    posts: posts.map(as),
  };
}

/** @throws Failure `dns_record_invalid` */
function refuseMany({ deletes, patches, puts, posts }: DnsBatch): void {
  const count = [deletes, patches, puts, posts].reduce((sum, one) => sum + (one?.length ?? 0), 0);
  if (count <= MOST_CHANGES) return;
  throw invalid(`${count} changes in one call are more than ${MOST_CHANGES}`);
}

/** @throws Failure `dns_record_invalid` */
async function fileIn(form: FormData): Promise<string> {
  const file = form.get("file");
  if (file === null) throw invalid("the form has no part `file`, with a BIND zone file");
  const text = typeof file === "string" ? file : await file.text();
  if (text.length > LARGEST_FILE) throw invalid("the zone file is larger than 1 MiB");
  return text;
}

/** Null: the file itself says so for each record. */
function proxiedIn(form: FormData): boolean | null {
  const text = form.get("proxied") ?? "";
  if (text === "") return null;
  if (text === "true" || text === "false") return text === "true";
  throw invalid("`proxied` is `true` or `false`");
}

function bodyOf(record: ZoneFileRecord, isProxied: boolean | null): ZoneFileRecord {
  const proxied = record.type === "TXT" ? false : (isProxied ?? record.proxied ?? false);
  return { ...record, proxied };
}

function invalid(message: string): Failure {
  return new Failure("dns_record_invalid", { message });
}
