import { z } from "@hono/zod-openapi";
import { randomUUID } from "node:crypto";
import { parseUpload } from "../certificates/parse.ts";
import type { ParsedUpload } from "../certificates/upload.ts";
import { Failure } from "../failures.ts";
import { scriptsThatBind } from "../store/associations.ts";
import {
  countCertificates,
  deleteCertificate,
  findCertificate,
  findContent,
  insertCertificate,
  listCertificates,
  type StoredCertificate,
} from "../store/certificates.ts";
import type { CertificateRow, CertificateVersionRow } from "../store/schema.ts";
import type { Database, Write } from "../store/store.ts";
import { list } from "./accounts.ts";
import type { ControlContext } from "./context.ts";
import { endpoint, type Endpoint } from "./endpoint.ts";
import { oneLine } from "./text.ts";

const upload = z.object({
  certificates: z.string(),
  private_key: z.string().nullish(),
  ca: z.boolean().default(false),
  name: oneLine.trim().max(255).nullish(),
});

const filter = z.object({
  ca: z.enum(["true", "false"]).optional(),
  name: z.string().optional(),
});

/** `wrangler mtls-certificate`, `wrangler cert`, and `mtlsCertificates` of the cloudflare SDK. */
export function certificateEndpoints(context: ControlContext): readonly Endpoint[] {
  const { store, edge } = context;
  const path = "/accounts/{account_id}/mtls_certificates";
  return [
    endpoint(
      {
        method: "post",
        path,
        summary: "Upload a certificate or a CA",
        scope: "ssl_certs:write",
        body: upload,
      },
      async ({ caller, body }) => {
        const { stored, cursor, warnings } = await storeUpload(context, caller.accountId, body);
        await edge.applied(cursor);
        return { result: { ...shown(stored), updated_at: stored.updatedOn }, messages: warnings };
      },
    ),
    endpoint(
      {
        method: "get",
        path,
        summary: "List certificates and CAs",
        scope: "ssl_certs:read",
        query: filter,
      },
      async ({ caller, query }) => {
        const certificates = await listCertificates(store.db, caller.accountId, {
          ...(query.ca !== undefined && { ca: query.ca === "true" }),
          ...(query.name !== undefined && { name: query.name }),
        });
        return list(certificates.map(shown));
      },
    ),
    endpoint(
      {
        method: "get",
        path: `${path}/{certificate_id}`,
        summary: "One certificate or CA",
        scope: "ssl_certs:read",
      },
      async ({ caller, params }) => ({
        result: shown(await existing(store.db, caller.accountId, params["certificate_id"])),
      }),
    ),
    endpoint(
      {
        method: "get",
        path: `${path}/{certificate_id}/associations`,
        summary: "The scripts that bind a certificate",
        scope: "ssl_certs:read",
      },
      async ({ caller, params }) => {
        const { id } = await existing(store.db, caller.accountId, params["certificate_id"]);
        const scripts = await scriptsThatBind(store.db, caller.accountId, "mtls_certificate", id);
        return list(scripts.map((service) => ({ service, status: "active" })));
      },
    ),
    endpoint(
      {
        method: "delete",
        path: `${path}/{certificate_id}`,
        summary: "Delete a certificate or CA",
        scope: "ssl_certs:write",
      },
      async ({ caller, params }) => {
        const { value, cursor } = await store.write((write) =>
          remove(write, caller.accountId, params["certificate_id"]),
        );
        await edge.applied(cursor);
        return { result: shown(value) };
      },
    ),
  ];
}

async function storeUpload(
  { store, keyring, clock, limits }: ControlContext,
  accountId: string,
  body: z.output<typeof upload>,
): Promise<{ stored: StoredCertificate; cursor: number; warnings: string[] }> {
  const now = clock();
  const parsed = parseUpload({
    certificates: body.certificates,
    ...(body.private_key && { privateKey: body.private_key }),
    ca: body.ca,
    now,
  });
  const id = randomUUID();
  const sealedId = `${id}/1`;
  const uploadedOn = now.toISOString();
  const active: CertificateVersionRow = {
    ...factsOf(parsed),
    certificateId: id,
    version: 1,
    accountId,
    uploadedOn,
    ...(parsed.kind === "leaf"
      ? {
          chain: parsed.chain,
          sealedKey: keyring.seal(
            { account: accountId, id: sealedId, kind: "certificate-key" },
            parsed.privateKey,
          ),
          sealedId,
        }
      : { chain: parsed.bundle, sealedKey: null, sealedId: null }),
  };
  const row: CertificateRow = {
    id,
    accountId,
    name: body.name || null,
    ca: parsed.kind === "ca" ? 1 : 0,
    activeVersion: 1,
    allowedHosts: null,
    trust: null,
    uploadedOn,
    updatedOn: uploadedOn,
    revokedOn: null,
  };
  const { cursor } = await store.write(async ({ db, changed }) => {
    await refuseDuplicates(db, row, active);
    await refuseMoreThan(db, row, row.ca === 1 ? limits.authorities : limits.certificates);
    await insertCertificate(db, row, active);
    await changed(changeOf(row));
  });
  return { stored: { ...row, active }, cursor, warnings: parsed.warnings.map((w) => w.message) };
}

function factsOf({
  facts,
}: ParsedUpload): Omit<
  CertificateVersionRow,
  "certificateId" | "version" | "accountId" | "uploadedOn" | "chain" | "sealedKey" | "sealedId"
> {
  return {
    subject: facts.subject,
    issuer: facts.issuer,
    serialNumber: facts.serialNumber,
    signature: facts.signature,
    notBefore: facts.notBefore.toISOString(),
    notAfter: facts.notAfter.toISOString(),
    fingerprint: facts.fingerprint,
    contentHash: facts.contentHash,
    names: JSON.stringify(facts.names),
    keyKind: facts.key,
  };
}

async function refuseDuplicates(
  db: Database,
  { accountId, name }: CertificateRow,
  { contentHash }: CertificateVersionRow,
): Promise<void> {
  const same = await findContent(db, accountId, contentHash);
  if (same) {
    throw new Failure("certificate_duplicate", {
      message: `the certificate is already in this account, as ${same.id}${same.name ? ` ("${same.name}")` : ""}`,
      facts: { certificateId: same.id },
    });
  }
  const [namesake] = name === null ? [] : await listCertificates(db, accountId, { name });
  if (namesake) {
    throw new Failure("certificate_name_taken", {
      message: `certificate ${namesake.id} already has the name "${name}"`,
      facts: { certificateId: namesake.id },
    });
  }
}

async function refuseMoreThan(db: Database, row: CertificateRow, limit: number): Promise<void> {
  if ((await countCertificates(db, row.accountId, row.ca === 1)) < limit) return;
  throw row.ca === 1
    ? new Failure("authority_quota", { message: `the account already holds ${limit} CAs` })
    : new Failure("certificate_quota", {
        message: `the account already holds ${limit} certificates`,
      });
}

async function remove(write: Write, accountId: string, id?: string): Promise<StoredCertificate> {
  const certificate = await existing(write.db, accountId, id);
  const scripts = await scriptsThatBind(write.db, accountId, "mtls_certificate", certificate.id);
  if (scripts.length > 0) {
    throw new Failure("certificate_in_use", {
      message: `certificate ${certificate.id} is bound by ${scripts.map((s) => `"${s}"`).join(", ")}`,
      facts: { scripts },
    });
  }
  await deleteCertificate(write.db, certificate.id);
  await write.changed(changeOf(certificate));
  return certificate;
}

async function existing(db: Database, accountId: string, id = ""): Promise<StoredCertificate> {
  const certificate = await findCertificate(db, accountId, id);
  if (certificate) return certificate;
  throw new Failure("certificate_not_found", {
    message: `there is no certificate "${id.slice(0, 100)}" in this account`,
  });
}

function changeOf({ accountId, id, ca }: CertificateRow): Parameters<Write["changed"]>[0] {
  return ca === 1
    ? { kind: "trust", accountId }
    : { kind: "certificate", accountId, certificateId: id };
}

/** As Cloudflare shows it: everything but the key. */
function shown({ id, name, ca, uploadedOn, active }: StoredCertificate): object {
  return {
    id,
    ...(name !== null && { name }),
    ca: ca === 1,
    type: "custom",
    certificates: active.chain,
    issuer: active.issuer,
    serial_number: active.serialNumber,
    signature: active.signature,
    uploaded_on: uploadedOn,
    expires_on: active.notAfter,
  };
}
