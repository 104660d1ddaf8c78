import { z } from "@hono/zod-openapi";
import { randomUUID } from "node:crypto";
import type { HeldUpload } from "../../certificates/key-intake.ts";
import { applyChange } from "../api/apply-change.ts";
import { Failure } from "../../failures/failures.ts";
import { hostsThatPresent } from "../../store/hosts/host-origins.ts";
import { findAccount } from "../../store/access/accounts.ts";
import { hyperdriveWith } from "../../store/hyperdrive.ts";
import { scriptsThatBind } from "../../store/hosts/associations.ts";
import {
  countCertificates,
  deleteCertificate,
  insertCertificate,
  listCertificates,
  pageOfCertificates,
  type ListedCertificate,
  type StoredCertificate,
} from "../../store/certificates/certificates.ts";
import type { CertificateRow } from "../../store/schema.ts";
import type { Audit } from "../../store/access/audit.ts";
import type { Database } from "../../store/database.ts";
import type { Done, Write } from "../../store/store.ts";
import { list, pageOfList } from "../api/envelope.ts";
import { certificateFilterOf, certificateQuery } from "./certificate-query.ts";
import { actorOf, type Caller } from "../api/auth.ts";
import {
  certificateChange,
  existingCertificate,
  judgeUpload,
  refuseDuplicate,
  versionRow,
} from "./certificate-intake.ts";
import type { ControlContext } from "../api/context.ts";
import { keyPlace } from "../../keys/places.ts";
import { endpoint, keyEndpoint, type Endpoint } from "../api/endpoint.ts";
import { expiryOf } from "./version-shown.ts";
import { pem } from "../api/bounds.ts";
import { oneLine } from "../api/text.ts";
import { authorityChanged, refusePinned } from "./trust.ts";

const upload = z.object({
  certificates: pem,
  private_key: pem.nullish(),
  ca: z.boolean().default(false),
  name: oneLine.trim().max(255).nullish(),
  /** Not in Cloudflare's API. */
  allow_expired: z.boolean().default(false),
});

/** `wrangler mtls-certificate`, `wrangler cert`, and `mtlsCertificates` of the cloudflare SDK. */
export function certificateEndpoints(context: ControlContext): readonly Endpoint[] {
  const { store, edge, clock } = context;
  const path = "/accounts/{account_id}/mtls_certificates";
  return [
    keyEndpoint(
      {
        method: "post",
        path,
        summary: "Upload a certificate or a CA",
        scope: "ssl_certs:write",
        body: upload,
      },
      async ({ caller, body, upload: held }) => {
        const { stored, warnings } = await storeUpload(context, caller, body, held);
        return {
          result: { ...shown(listed(stored), clock()), updated_at: stored.updatedOn },
          messages: warnings,
        };
      },
    ),
    endpoint(
      {
        method: "get",
        path,
        summary: "List certificates and CAs",
        scope: "ssl_certs:read",
        query: certificateQuery,
      },
      async ({ caller: { accountId }, query, window }) => {
        const now = clock();
        const wanted = certificateFilterOf(query);
        const certificates = await pageOfCertificates(store.db, accountId, wanted, window);
        return pageOfList(
          certificates.map((certificate) => shown(certificate, now)),
          await countCertificates(store.db, accountId, wanted),
        );
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
        result: shown(
          listed(await existingCertificate(store.db, caller.accountId, params["certificate_id"])),
          clock(),
        ),
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
        const { id } = await existingCertificate(
          store.db,
          caller.accountId,
          params["certificate_id"],
        );
        const scripts = await scriptsThatBind(store.db, caller.accountId, "mtls_certificate", id);
        const configs = await hyperdriveWith(store.db, caller.accountId, id);
        return list([
          ...scripts.map((service) => ({ service, status: "active" })),
          ...configs.map(({ name }) => ({ service: `hyperdrive ${name}`, status: "active" })),
        ]);
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
        const value = await applyChange({ store, edge }, (write) =>
          remove(write, caller, params["certificate_id"]),
        );
        return { result: shown(listed(value), clock()) };
      },
    ),
  ];
}

async function storeUpload(
  context: ControlContext,
  caller: Caller,
  body: z.output<typeof upload>,
  held: HeldUpload,
): Promise<{ stored: StoredCertificate; warnings: string[] }> {
  const { accountId } = caller;
  const { keyring, clock, limits } = context;
  const id = randomUUID();
  const owner = { accountId, certificateId: id, version: 1 };
  const parsed = await judgeUpload(context, accountId, {
    upload: held,
    ca: body.ca,
    allowExpired: body.allow_expired,
    place: keyPlace(owner),
  });
  const now = clock();
  const row: CertificateRow = {
    id,
    accountId,
    name: body.name || null,
    ca: parsed.kind === "ca" ? 1 : 0,
    activeVersion: 1,
    allowedHosts: null,
    tied: 0,
    uploadedOn: now.toISOString(),
    updatedOn: now.toISOString(),
  };
  const active = await applyChange(
    context,
    async (write) => {
      await refuseDuplicate(write.db, accountId, parsed.facts.contentHash);
      await refuseTakenName(write.db, row);
      await refuseMoreThan(write.db, row, limits);
      // Its data key is wrapped in the transaction, so the master key cannot change between that and the commit.
      const version = await versionRow(keyring, owner, parsed, now);
      await insertCertificate(write.db, row, version);
      if (row.ca === 1) await authorityChanged(write, accountId, []);
      else await write.changed(certificateChange(row));
      const stored = { ...row, active: version };
      return { value: version, audit: auditOf(caller, "upload", stored) };
    },
    { together: true },
  );
  return { stored: { ...row, active }, warnings: parsed.warnings.map((w) => w.message) };
}

/** @throws Failure `certificate_name_taken` */
export async function refuseTakenName(
  db: Database,
  { accountId, id, name }: Pick<CertificateRow, "accountId" | "id" | "name">,
): Promise<void> {
  const namesakes = name === null ? [] : await listCertificates(db, accountId, { name });
  const namesake = namesakes.find((other) => other.id !== id);
  if (!namesake) return;
  throw new Failure("certificate_name_taken", {
    message: `certificate ${namesake.id} already has the name "${name}"`,
    facts: { certificateId: namesake.id },
  });
}

/** The account's own limits apply, if it has any. */
async function refuseMoreThan(
  db: Database,
  { accountId, ca }: CertificateRow,
  defaults: ControlContext["limits"],
): Promise<void> {
  const account = await findAccount(db, accountId);
  const limits = { ...defaults, ...(account && account.limits) };
  const limit = ca === 1 ? limits.authorities : limits.certificates;
  // Both kinds together are counted in the index alone.
  if ((await countCertificates(db, accountId)) < limit) return;
  if ((await countCertificates(db, accountId, { ca: ca === 1 })) < limit) return;
  throw ca === 1
    ? new Failure("authority_quota", { message: `the account already holds ${limit} CAs` })
    : new Failure("certificate_quota", {
        message: `the account already holds ${limit} certificates`,
      });
}

async function remove(write: Write, caller: Caller, id?: string): Promise<Done<StoredCertificate>> {
  const { accountId } = caller;
  const certificate = await existingCertificate(write.db, accountId, id);
  const scripts = await scriptsThatBind(write.db, accountId, "mtls_certificate", certificate.id);
  if (scripts.length > 0) {
    throw new Failure("certificate_in_use", {
      message: `certificate ${certificate.id} is bound by ${scripts.map((s) => `"${s}"`).join(", ")}`,
      facts: { scripts },
    });
  }
  const hosts = await hostsThatPresent(write.db, accountId, certificate.id);
  if (hosts.length > 0) {
    throw new Failure("certificate_in_use", {
      message: `certificate ${certificate.id} is presented to the origins of ${hosts.join(", ").slice(0, 300)}`,
    });
  }
  const configs = await hyperdriveWith(write.db, accountId, certificate.id);
  if (configs.length > 0) {
    throw new Failure("certificate_in_use", {
      message: `certificate ${certificate.id} is used by the Hyperdrive configuration ${configs.map(({ name }) => `"${name}"`).join(", ")}`,
      facts: { hyperdrive: configs.map(({ name }) => name) },
      fix: "Change the configuration with `wrangler hyperdrive update`, or delete it, first.",
    });
  }
  await refusePinned(write.db, certificate);
  await deleteCertificate(write.db, certificate.id);
  if (certificate.ca === 1) await authorityChanged(write, accountId, []);
  else await write.changed(certificateChange(certificate));
  return { value: certificate, audit: auditOf(caller, "delete", certificate) };
}

function auditOf(
  caller: Caller,
  did: "upload" | "delete",
  { id, accountId, name, ca, active }: StoredCertificate,
): Audit {
  const kind = ca === 1 ? "authority" : "certificate";
  const facts = { subject: active.subject, expiresOn: active.notAfter };
  return {
    by: actorOf(caller),
    action: `${kind}.${did}`,
    accountId,
    resource: { type: kind, id, name },
    fingerprint: active.fingerprint,
    ...(did === "upload" ? { after: facts } : { before: facts }),
  };
}

/** As Cloudflare shows a certificate: everything except the key. */
function shown(certificate: ListedCertificate, now: Date): object {
  const { id, name } = certificate;
  return {
    id,
    ...(name !== null && { name }),
    ca: certificate.ca === 1,
    type: "custom",
    certificates: certificate.chain,
    issuer: certificate.issuer,
    serial_number: certificate.serialNumber,
    signature: certificate.signature,
    uploaded_on: certificate.uploadedOn,
    expires_on: certificate.notAfter,
    countersign: expiryOf(certificate, now),
  };
}

/** The certificate's own id, name and time, and the rest of its active version. */
function listed({ id, name, ca, uploadedOn, active }: StoredCertificate): ListedCertificate {
  return { ...active, id, name, ca, uploadedOn };
}
