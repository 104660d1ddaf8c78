import { z } from "@hono/zod-openapi";
import { count, crud, flag, gone, type Results, text, texts, time } from "./common.ts";

const zone = z
  .object({
    id: text,
    name: text,
    account: z.object({ id: text, name: text }),
    status: text,
    type: text,
    paused: flag,
    permissions: texts,
    name_servers: texts,
    original_name_servers: texts.nullable(),
    original_dnshost: text.nullable(),
    original_registrar: text.nullable(),
    development_mode: count,
    owner: z.object({ id: text, name: text, type: text }),
    plan: z.object({ id: text, name: text, price: count }),
    meta: z.object({
      cdn_only: flag,
      custom_certificate_quota: count,
      dns_only: flag,
      phishing_detected: flag,
    }),
    created_on: time,
    modified_on: time,
    activated_on: time,
  })
  .openapi("Zone");

const route = z
  .object({ id: text, pattern: text, script: text.optional(), zone_name: text.optional() })
  .openapi("Route");

const domain = z
  .object({
    id: text,
    hostname: text,
    service: text,
    environment: text,
    zone_id: text,
    zone_name: text,
    cert_id: text,
    enabled: flag,
    previews_enabled: flag,
  })
  .openapi("Domain");

/** The certificate that a host presents. */
export const customCertificate: z.ZodType = z
  .object({
    id: text,
    zone_id: text,
    hosts: texts,
    issuer: text,
    signature: text,
    status: text,
    bundle_method: text,
    priority: count,
    uploaded_on: time,
    modified_on: time,
    expires_on: time,
  })
  .openapi("CustomCertificate");

const dnsRecord = z
  .object({
    id: text,
    zone_id: text,
    zone_name: text,
    name: text,
    type: text,
    content: text,
    proxiable: flag,
    proxied: flag,
    ttl: count,
    settings: z.object({}),
    meta: z.object({}),
    comment: text.nullable(),
    tags: texts,
    created_on: time,
    modified_on: time,
  })
  .openapi("DnsRecord");

const pullCertificate = z
  .object({
    id: text,
    certificate: text,
    issuer: text,
    serial_number: text,
    signature: text,
    status: text,
    expires_on: time,
    uploaded_on: time,
  })
  .openapi("OriginPullCertificate");

const pullHost = z
  .object({
    hostname: text,
    enabled: flag.nullable(),
    status: text,
    created_at: time,
    updated_at: time,
    cert_id: text,
    cert_status: text,
    cert_uploaded_on: time,
    cert_updated_at: time,
    certificate: text,
    issuer: text,
    serial_number: text,
    signature: text,
    expires_on: time,
  })
  .openapi("OriginPullHost");

const pulls = "/zones/{zone_id}/origin_tls_client_auth";
const pullSetting = z.object({ enabled: flag });
const account = "/accounts/{account_id}";
const script = `${account}/workers/scripts/{script_name}`;
const zones = z.object({ zones: texts });

const zoneSetting = z
  .object({ id: text, value: z.unknown(), editable: flag, modified_on: time.nullable() })
  .openapi("ZoneSetting");
const pullAuthority = z
  .object({ id: text, certificate: text, expires_on: time, created_on: time })
  .openapi("OriginPullAuthority");

/** Which hosts lead to which Worker. */
export const routingResults: Results = {
  ...crud("/zones", zone, "GET* POST* GET DELETE", "zone_id"),
  ...crud("/zones/{zone_id}/workers/routes", route, "GET* POST* GET PUT DELETE", "route_id"),
  ...crud(
    "/zones/{zone_id}/custom_certificates",
    customCertificate,
    "GET* POST* GET PATCH DELETE",
    "certificate_id",
  ),
  [`PUT ${script}/routes`]: z.array(route),
  [`POST ${script}/domains/changeset`]: z
    .object({
      added: z.array(domain.partial()),
      updated: z.array(domain.extend({ modified: flag })),
      removed: z.array(domain),
      conflicting: z.array(domain.extend({ external_dns_record_id: text.optional() })),
    })
    .openapi("DomainChangeset"),
  [`PUT ${script}/domains/records`]: z.array(domain),
  ...crud(`${account}/workers/domains`, domain, "GET* GET", "domain_id"),
  [`PUT ${account}/workers/domains`]: domain,
  [`DELETE ${account}/workers/domains/{domain_id}`]: gone,
  [`GET ${account}/workers/domains/records/{domain_id}`]: domain,
  ...crud(
    "/zones/{zone_id}/dns_records",
    dnsRecord,
    "GET* POST* GET PUT PATCH DELETE",
    "dns_record_id",
  ),
  "POST /zones/{zone_id}/dns_records/batch": z
    .object({
      deletes: z.array(dnsRecord),
      patches: z.array(dnsRecord),
      puts: z.array(dnsRecord),
      posts: z.array(dnsRecord),
    })
    .openapi("DnsBatch"),
  "POST /zones/{zone_id}/dns_records/import": z
    .object({ recs_added: count, total_records_parsed: count })
    .openapi("DnsImport"),
  ...crud(pulls, pullCertificate, "GET* POST* GET", "certificate_id"),
  [`DELETE ${pulls}/{certificate_id}`]: pullCertificate,
  ...crud(`${pulls}/hostnames/certificates`, pullCertificate, "GET* POST* GET", "certificate_id"),
  [`DELETE ${pulls}/hostnames/certificates/{certificate_id}`]: pullCertificate,
  [`PUT ${pulls}/hostnames`]: z.array(pullHost),
  [`GET ${pulls}/hostnames/{hostname}`]: pullHost,
  [`GET ${pulls}/settings`]: pullSetting,
  [`PUT ${pulls}/settings`]: pullSetting,
  "GET /zones/{zone_id}/settings/tls_client_auth": zoneSetting,
  "PATCH /zones/{zone_id}/settings/tls_client_auth": zoneSetting,
  "GET /zones/{zone_id}/settings": z.array(zoneSetting),
  "PATCH /zones/{zone_id}/settings": z.array(zoneSetting),
  "GET /zones/{zone_id}/settings/{setting_id}": zoneSetting,
  "PATCH /zones/{zone_id}/settings/{setting_id}": zoneSetting,
  [`GET ${account}/countersign/origin_pull_authorities`]: z.array(pullAuthority),
  [`GET ${account}/countersign/proxied_zones`]: zones,
  [`PUT ${account}/countersign/proxied_zones`]: zones,
};
