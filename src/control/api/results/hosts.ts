import { z } from "@hono/zod-openapi";
import { count, crud, flag, gone, type Results, text, texts, time } from "./common.ts";
import { customCertificate } from "./routing.ts";

const rules = z.array(z.record(text, z.unknown()));

const policy = z
  .object({
    id: text,
    account_id: text,
    name: text,
    decision: text,
    include: rules,
    require: rules,
    exclude: rules,
    precedence: count.optional(),
    session_duration: text,
    reusable: flag,
    app_count: count,
    created_at: time,
    updated_at: time,
  })
  .loose()
  .openapi("AccessPolicy");

/** Other fields, for people's sessions and browsers, are stored and returned unchanged. */
const application = z
  .object({
    id: text,
    uid: text,
    aud: text,
    name: text,
    type: text,
    domain: text,
    self_hosted_domains: texts,
    destinations: z.array(z.object({ type: text, uri: text })),
    policies: z.array(policy),
    created_at: time,
    updated_at: time,
  })
  .loose()
  .openapi("AccessApplication");

const serviceToken = z
  .object({
    id: text,
    client_id: text,
    name: text,
    enabled: flag,
    duration: text,
    client_secret_version: count,
    previous_client_secret_expires_at: time.optional(),
    expires_at: time.optional(),
    created_at: time,
    updated_at: time,
  })
  .openapi("ServiceToken");

const newServiceToken = serviceToken.extend({ client_secret: text }).openapi("NewServiceToken");

const accessCertificate = z
  .object({
    id: text,
    name: text,
    fingerprint: text,
    associated_hostnames: texts,
    expires_on: time,
    created_at: time,
    updated_at: time,
  })
  .openapi("AccessCertificate");

const clientCertificate = z
  .object({
    id: text,
    certificate: text,
    certificate_authority: z.object({ id: text, name: text }),
    common_name: text,
    country: text,
    state: text,
    location: text,
    organization: text,
    organizational_unit: text,
    csr: text,
    expires_on: time,
    issued_on: time,
    fingerprint_sha256: text,
    serial_number: text,
    signature: text,
    ski: text,
    status: text,
    validity_days: count,
  })
  .openapi("ClientCertificate");

const clientRules = z
  .object({
    host: text,
    mode: text,
    authorities: texts.optional(),
    forward: flag.optional(),
  })
  .openapi("HostClients");

const clientRevocation = z
  .object({
    id: text,
    serial_number: text.nullable(),
    issuer: text.nullable(),
    fingerprint_sha256: text.nullable(),
    created_on: time,
  })
  .openapi("ClientRevocation");

const revocationList = z
  .object({
    id: text,
    url: text.nullable(),
    interval: count.nullable(),
    issuer: text,
    authority_fingerprint: text,
    entries: count,
    this_update: time,
    next_update: time,
    taken_on: time,
    next_check_on: time.nullable(),
    warning: text.nullable(),
    created_on: time,
  })
  .openapi("RevocationList");

const identity = z
  .object({
    worker: text,
    environment: text.nullable(),
    spiffe_id: text,
    state: text,
    revoked_on: time.nullable(),
    serial_number: text.nullable(),
    issued_on: time.nullable(),
    expires_on: time.nullable(),
  })
  .openapi("Identity");

const identitySettings = z.object({ environments: flag }).openapi("IdentitySettings");

const issued = z.object({
  serial_number: text,
  spiffe_id: text.nullable(),
  issued_on: time,
  expires_on: time,
  revoked_on: time.nullable(),
});

const identityAuthority = z
  .object({
    id: text,
    number: count,
    state: text,
    root: text,
    root_fingerprint: text,
    root_expires_on: time,
    root_key: z.enum(["sealed", "offline"]),
    intermediate: text.nullable(),
    intermediate_expires_on: time.nullable(),
    csr: text.nullable(),
    created_on: time,
    changed_on: time,
  })
  .openapi("IdentityAuthority");

const identityPolicy = z
  .object({
    name: text,
    version: count,
    policy: z.record(text, z.unknown()),
    created_on: time,
    author: text,
  })
  .openapi("IdentityPolicy");

const hostOrigin = z
  .object({
    host: text,
    to: text,
    from: z.enum(["host origin", "dns records"]),
    certificate: z.object({ id: text, name: text.nullable(), from: text }).nullable(),
  })
  .openapi("HostOrigin");

const host = z
  .object({
    host: text,
    origin: hostOrigin.nullable(),
    workers: z.array(z.object({ script: text, pattern: text })),
    certificate: customCertificate.nullable(),
    certificate_source: text.nullable(),
    certificate_warning: text.nullable(),
    clients: z.object({ mode: text, authorities: texts, forward: flag }).loose(),
    revocation_lists: z.array(revocationList),
    access: z.array(z.object({ name: text, domain: text })),
  })
  .openapi("Host");

const access = "/accounts/{account_id}/access";
const own = "/accounts/{account_id}/countersign";
const all = "GET* POST* GET PUT DELETE";
const associations = "/zones/{zone_id}/certificate_authorities/hostname_associations";
const hostnames = z.object({ hostnames: texts });

/** An account without a key has nothing to rotate. */
const accessKeys = z
  .object({
    key_rotation_interval_days: count,
    days_until_next_rotation: count.optional(),
    last_key_rotation_at: time.optional(),
  })
  .openapi("AccessKeys");

/** Who may call a host, and as whom Workers call. */
export const hostResults: Results = {
  ...crud(`${access}/service_tokens`, serviceToken, "GET* GET PUT", "token_id"),
  [`POST ${access}/service_tokens`]: newServiceToken,
  [`DELETE ${access}/service_tokens/{token_id}`]: serviceToken,
  [`POST ${access}/service_tokens/{token_id}/rotate`]: newServiceToken,
  [`POST ${access}/service_tokens/{token_id}/refresh`]: serviceToken,
  ...crud(`${access}/policies`, policy, all, "policy_id"),
  ...crud(`${access}/apps`, application, all, "app_id"),
  ...crud(`${access}/apps/{app_id}/policies`, policy, all, "policy_id"),
  ...crud(`${access}/certificates`, accessCertificate, all, "certificate_id"),
  [`GET ${access}/keys`]: accessKeys,
  [`PUT ${access}/keys`]: accessKeys,
  [`POST ${access}/keys/rotate`]: z.object({
    key_rotation_interval_days: count,
    days_until_next_rotation: count,
    last_key_rotation_at: time,
  }),
  [`GET ${own}/hosts`]: z.array(host),
  [`PUT ${own}/hosts/{host}/certificate`]: customCertificate,
  [`DELETE ${own}/hosts/{host}/certificate`]: gone,
  [`PUT ${own}/hosts/{host}/acme`]: customCertificate,
  [`GET ${own}/hosts/{host}/origin`]: hostOrigin,
  [`PUT ${own}/hosts/{host}/origin`]: hostOrigin,
  [`DELETE ${own}/hosts/{host}/origin`]: gone,
  [`GET ${own}/hosts/clients`]: z.array(clientRules),
  [`PUT ${own}/hosts/{host}/clients`]: clientRules,
  [`GET ${associations}`]: hostnames,
  [`PUT ${associations}`]: hostnames,
  ...crud(`${own}/client_revocations`, clientRevocation, "GET* POST* DELETE", "revocation_id"),
  ...crud(`${own}/revocation_lists`, revocationList, "GET* POST* DELETE", "list_id"),
  ...crud(
    "/zones/{zone_id}/client_certificates",
    clientCertificate,
    "GET* POST* GET PATCH",
    "client_certificate_id",
  ),
  "DELETE /zones/{zone_id}/client_certificates/{client_certificate_id}": clientCertificate,
  [`GET ${own}/identities`]: z.array(identity),
  [`GET ${own}/identities/{worker}`]: identity.extend({ issued: z.array(issued) }),
  [`POST ${own}/identities/{worker}/revoke`]: identity,
  [`POST ${own}/identities/{worker}/restore`]: identity,
  [`POST ${own}/identity/certificates`]: z
    .object({ certificate: text, serial_number: text, spiffe_id: text, expires_on: time })
    .openapi("IssuedIdentity"),
  [`POST ${own}/identity/certificates/{serial_number}/revoke`]: z.object({
    serial_number: text,
    revoked_on: time.nullable(),
  }),
  [`GET ${own}/identity/settings`]: identitySettings,
  [`PATCH ${own}/identity/settings`]: identitySettings,
  [`GET ${own}/identity/authorities`]: z.array(identityAuthority),
  [`POST ${own}/identity/authorities/prepare`]: z.array(identityAuthority),
  [`POST ${own}/identity/authorities/activate`]: z.array(identityAuthority),
  [`POST ${own}/identity/authorities/retire`]: z.array(identityAuthority),
  [`POST ${own}/identity/authorities/import`]: z.array(identityAuthority),
  ...crud(`${own}/policies`, identityPolicy, "GET* GET PUT DELETE", "name"),
  [`GET ${own}/policies/{name}/versions`]: z.array(identityPolicy),
  [`GET ${own}/policies/{name}/explain`]: z
    .object({
      allowed: flag,
      code: text,
      reason: text,
      rule: count.nullable(),
      policy: text,
      version: count,
    })
    .openapi("PolicyDecision"),
};
