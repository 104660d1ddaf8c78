import { z } from "@hono/zod-openapi";
import { count, crud, flag, type Results, text, texts, time } from "./common.ts";

/** A certificate as Cloudflare shows it; `countersign` has the additional fields. */
const mtlsCertificate = z
  .object({
    id: text,
    name: text.optional(),
    ca: flag,
    type: text,
    certificates: text,
    issuer: text,
    serial_number: text,
    signature: text,
    uploaded_on: time,
    updated_at: time.optional(),
    expires_on: time,
    countersign: z.object({
      expires: text,
      days_left: count,
      threshold: count.nullable(),
      warnings: texts.optional(),
    }),
  })
  .openapi("MtlsCertificate");

const leaf = {
  subject: text,
  issuer: text,
  serial_number: text,
  fingerprint: text,
  key: text,
  signature: text,
  names: texts,
  not_before: time,
  expires_on: time,
  expires: text,
  days_left: count,
  threshold: count.nullable(),
  revoked_on: time.nullable(),
  warnings: texts,
};

const version = z
  .object({
    version: count,
    active: flag,
    ...leaf,
    uploaded_on: time,
    certificates: text,
    abandoned: flag.optional(),
  })
  .openapi("CertificateVersion");

const trust = z
  .object({ account: flag, certificates: texts, hosts: texts, spiffe_ids: texts.optional() })
  .openapi("AuthorityTrust");

const listed = z
  .object({
    id: text,
    name: text.nullable(),
    ca: flag,
    version: count,
    ...leaf,
    uploaded_on: time,
    version_uploaded_on: time,
    updated_on: time,
    /** Only of a client certificate. */
    allowed_hosts: texts.nullable().optional(),
    authorities: texts.nullable().optional(),
    scripts: texts.optional(),
    last_handshake: z
      .object({
        at: time,
        version: count,
        origin: text,
        tlsVersion: text,
        asked: flag,
      })
      .nullable()
      .optional(),
    last_failure: z
      .object({
        at: time,
        origin: text.nullable(),
        code: text,
        message: text,
      })
      .nullable()
      .optional(),
    source: z
      .object({
        folder: text,
        certificate_file: text.nullable(),
        key_file: text.nullable(),
        taken_on: time.nullable(),
        failed_on: time.nullable(),
        failure: text.nullable(),
      })
      .nullable()
      .optional(),
    /** Only of a CA. */
    trust: trust.optional(),
  })
  .openapi("ListedCertificate");

const certificate = listed.extend({ certificates: text }).openapi("Certificate");

const peer = z.object({
  subject: text,
  issuer: text,
  names: texts,
  notBefore: time,
  notAfter: time,
  fingerprint: text,
});

export const handshake: z.ZodType = z
  .object({
    origin: text,
    certificateId: text.nullable(),
    version: count.nullable(),
    presented: z.array(peer),
    address: text.nullable(),
    connectMs: z.number().nullable(),
    asksTls: z.object({ request: text, ms: z.number() }).nullable(),
    tls: z
      .object({
        version: text,
        cipher: text,
        keyExchange: text.nullable(),
        protocol: text.nullable(),
        handshakeMs: z.number(),
        asked: flag,
      })
      .nullable(),
    originChain: z.array(peer),
    acceptedAuthorities: texts.nullable(),
    signIn: z.object({ user: text, database: text, ms: z.number() }).nullable(),
    verdict: z.object({
      ok: flag,
      message: text,
      code: text.optional(),
      cause: text.optional(),
      fix: text.optional(),
    }),
  })
  .openapi("HandshakeTest");

const association = z.object({ service: text, status: text }).openapi("CertificateAssociation");

const webhook = z.object({ url: text, updated_on: time }).openapi("Webhook");

const notice = z
  .object({
    id: text,
    kind: z.enum(["binding", "host", "origin_pull"]),
    certificate_id: text,
    version: count.nullable(),
    threshold: count,
    created_on: time,
    attempts: count,
    next_attempt_on: time.nullable(),
    delivered_on: time.nullable(),
    last_error: text.nullable(),
  })
  .openapi("WebhookNotice");

const mtls = "/accounts/{account_id}/mtls_certificates";
const own = "/accounts/{account_id}/countersign";
const one = `${own}/certificates/{certificate_id}`;

/** Client certificates, CAs, and the notices about them. */
export const certificateResults: Results = {
  ...crud(mtls, mtlsCertificate, "GET* POST* GET", "certificate_id"),
  [`DELETE ${mtls}/{certificate_id}`]: mtlsCertificate,
  [`GET ${mtls}/{certificate_id}/associations`]: z.array(association),
  [`GET ${own}/certificates`]: z.array(listed),
  [`GET ${one}`]: certificate,
  [`PATCH ${one}`]: certificate,
  ...crud(`${one}/versions`, version, "GET* POST* GET", "version"),
  [`POST ${one}/versions/{version}/activate`]: version,
  [`POST ${one}/rollback`]: version,
  [`POST ${one}/revoke`]: z
    .object({
      id: text,
      revoked: z.array(count),
      presented: count.nullable(),
    })
    .openapi("CertificateRevocation"),
  [`POST ${one}/test`]: handshake,
  [`GET ${own}/authorities`]: z.array(listed),
  [`PUT ${own}/authorities/{certificate_id}/trust`]: z.object({ id: text, trust }),
  [`GET ${own}/webhook`]: webhook.nullable(),
  [`PUT ${own}/webhook`]: webhook.extend({ secret: text }),
  [`DELETE ${own}/webhook`]: webhook,
  [`POST ${own}/webhook/test`]: z.object({ delivered: flag, error: text.nullable() }),
  [`GET ${own}/webhook/notices`]: z.array(notice),
};
