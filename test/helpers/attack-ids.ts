import type { Things } from "./one-of-each.ts";

/** What a query can name. */
export const queries: Readonly<Record<string, Chosen>> = {
  "account.id": (things) => things.accountId,
  "account.name": (things) => things.word,
  account: (things) => things.word,
  host: (things) => things.host,
  hostname: (things) => things.host,
  mtls_certificate_id: (things) => things.authority,
  name: (things) => things.word,
  service: (things) => things.script,
  spiffe_id: (things) => `spiffe://countersign.internal/account/${things.accountId}`,
  worker: (things) => things.script,
  zone_id: (things) => things.zoneId,
  zone_name: (things) => things.zone,
};

/** Which of the account's things the parameter of a path is. Undefined: none that is told here. */
export function idAt(things: Things, path: string, name: string): string | undefined {
  const special = ofPath.find(([part, known]) => path.includes(part) && known === name);
  return special ? special[2](things) : usual[name]?.(things);
}

type Chosen = (things: Things) => string;

/** The first that fits counts. */
const ofPath: readonly (readonly [part: string, name: string, chosen: Chosen])[] = [
  ["/access/certificates/", "certificate_id", (things) => things.clientCa],
  ["/hostnames/certificates/", "certificate_id", (things) => things.hostPull],
  ["/origin_tls_client_auth/", "certificate_id", (things) => things.zonePull],
  ["/custom_certificates/", "certificate_id", (things) => things.custom],
  ["/authorities/", "certificate_id", (things) => things.authority],
  ["/service_tokens/", "token_id", (things) => things.serviceToken],
  ["/apps/", "policy_id", (things) => things.appPolicy],
  ["/origin", "host", (things) => things.originHost],
];

const usual: Readonly<Record<string, Chosen>> = {
  app_id: (things) => things.app,
  asset_hash: () => "0".repeat(32),
  binding: () => "CERT",
  bucket_name: (things) => things.bucket,
  certificate_id: (things) => things.certificate,
  client_certificate_id: (things) => things.client,
  consumer_id: (things) => things.consumer,
  database_id: (things) => things.d1,
  deployment_id: (things) => things.deployment,
  dns_record_id: (things) => things.record,
  domain_id: (things) => things.domain,
  event_type: () => "event",
  host: (things) => things.host,
  hostname: (things) => things.recordName,
  hyperdrive_id: (things) => things.hyperdrive,
  instance_id: (things) => things.instance,
  key_name: () => "key",
  list_id: (things) => things.list,
  name: (things) => things.policyName,
  namespace_id: (things) => things.kv,
  object_key: () => "object",
  policy_id: (things) => things.policy,
  queue_id: (things) => things.queue,
  revocation_id: (things) => things.revocation,
  route_id: (things) => things.route,
  script_name: (things) => things.script,
  secret_name: () => "SECRET",
  serial_number: (things) => things.serial,
  setting_id: () => "min_tls_version",
  subdomain: (things) => things.subdomain,
  tail_id: (things) => things.tail,
  token_id: (things) => things.token,
  version: () => "1",
  version_id: (things) => things.version,
  worker: (things) => things.script,
  workflow_name: (things) => things.workflow,
  zone_id: (things) => things.zoneId,
};

/** Parameters that are the same in every account. */
export const shared: ReadonlySet<string> = new Set([
  "asset_hash",
  "binding",
  "event_type",
  "key_name",
  "object_key",
  "secret_name",
  "setting_id",
  "version",
]);
