import { isIPv4, isIPv6 } from "node:net";
import { domainToASCII } from "node:url";
import { Failure } from "../../failures/failures.ts";
import type { DnsRecordRow } from "../../store/schema.ts";
import { isHost, refuseOwnHosts, type Zone, zoneNamed } from "./zones.ts";

/** A record as clients send it. */
export interface DnsRecordBody {
  readonly type: string;
  readonly name: string;
  readonly content: string;
  readonly ttl?: number | undefined;
  readonly proxied?: boolean | null | undefined;
  readonly comment?: string | null | undefined;
  readonly tags?: readonly string[] | null | undefined;
}

/** Changes to some fields of a record. */
export type DnsRecordPatch = { readonly [F in keyof DnsRecordBody]?: DnsRecordBody[F] | undefined };

/** A record's content, without its settings. */
export type RecordContent = Pick<
  DnsRecordRow,
  "name" | "type" | "content" | "proxied" | "ttl" | "comment" | "tags"
>;

/** @throws Failure `dns_record_…`, `route_invalid` */
export function parsedRecord(body: DnsRecordBody, zone: Zone): RecordContent {
  const type = body.type.toUpperCase();
  if (!TYPES.has(type)) {
    throw new Failure("dns_record_unsupported", {
      message: `records of the type "${type.slice(0, 20)}" are not kept here`,
    });
  }
  const name = nameIn(body.name, zone);
  const proxied = body.proxied === true;
  if (proxied && type === "TXT") throw new Failure("dns_record_not_proxiable");
  if (proxied) refuseOwnHosts(name);
  const { ttl = 1 } = body;
  if (ttl !== 1 && !(Number.isInteger(ttl) && ttl >= 30 && ttl <= 86_400)) {
    throw invalid(`a TTL is 1 or from 30 to 86400 seconds, and not ${ttl}`);
  }
  return {
    name,
    type,
    content: contentOf(type, body.content, name),
    proxied: proxied ? 1 : 0,
    ttl: proxied ? 1 : ttl,
    comment: body.comment || null,
    tags: body.tags ?? [],
  };
}

const TYPES = new Set(["A", "AAAA", "CNAME", "TXT"]);

/** Names are relative to the zone: `@` is the zone, and `www` and `www.example.com` are the same. */
function nameIn(text: string, { name: zone }: Zone): string {
  const plain = plainName(text);
  const isWhole = plain === zone || plain.endsWith(`.${zone}`);
  const name = plain === "@" ? zone : isWhole ? plain : `${plain}.${zone}`;
  if (isHost(name.replace(/^\*\./, ""))) return name;
  throw invalid(`"${text.slice(0, 253)}" is not a name in the zone "${zone}"`);
}

function plainName(text: string): string {
  const lower = text.toLowerCase().replace(/\.$/, "");
  return /^[ -~]*$/.test(lower) ? lower : domainToASCII(lower) || lower;
}

function contentOf(type: string, content: string, name: string): string {
  const text = content.trim();
  switch (type) {
    case "A":
      if (isIPv4(text)) return text;
      throw invalid(`the content of an A record is an IPv4 address, and not "${shorten(text)}"`);
    case "AAAA":
      // Addresses get one spelling, so equal addresses are recognised.
      if (isIPv6(text) && !text.includes("%")) {
        return new URL(`http://[${text}]`).hostname.slice(1, -1);
      }
      throw invalid(`the content of an AAAA record is an IPv6 address, and not "${shorten(text)}"`);
    case "CNAME": {
      const target = plainName(text);
      if (target === name) throw invalid("a CNAME record does not lead to itself");
      if (isHost(target)) return target;
      throw invalid(`the content of a CNAME record is a host, and not "${shorten(text)}"`);
    }
    default:
      if (content.length > 0) return content;
      throw invalid("the content of a TXT record is not empty");
  }
}

function shorten(text: string): string {
  return text.slice(0, 253);
}

function invalid(message: string): Failure {
  return new Failure("dns_record_invalid", { message });
}

export function shownRecord(row: DnsRecordRow): object {
  const { name: zone_name, id: zone_id } = zoneNamed(row.accountId, row.zone);
  return {
    id: row.id,
    zone_id,
    zone_name,
    name: row.name,
    type: row.type,
    content: row.content,
    proxiable: row.type !== "TXT",
    proxied: row.proxied === 1,
    ttl: row.ttl,
    settings: {},
    meta: {},
    comment: row.comment,
    tags: row.tags,
    created_on: row.createdOn,
    modified_on: row.modifiedOn,
  };
}

/** Fields that are not given stay as they are. */
export function patched(before: DnsRecordRow, body: DnsRecordPatch): DnsRecordBody {
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
