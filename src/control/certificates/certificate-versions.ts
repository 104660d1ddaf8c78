import { applyChange } from "../api/apply-change.ts";
import { describeExpiry } from "../../certificates/expiry.ts";
import type { JudgedUpload } from "../../certificates/key-intake.ts";
import { Failure } from "../../failures/failures.ts";
import { tiesOf } from "../../store/authorities.ts";
import {
  abandonActivations,
  listActivations,
  recordActivation,
} from "../../store/certificates/certificate-activations.ts";
import {
  deleteVersions,
  insertCertificateVersion,
  listCertificateVersions,
  revokeVersions,
} from "../../store/certificates/certificate-versions.ts";
import {
  updateCertificate,
  type StoredCertificate,
} from "../../store/certificates/certificates.ts";
import type { CertificateVersionRow } from "../../store/schema.ts";
import type { Actor, Audit } from "../../store/access/audit.ts";
import type { Write } from "../../store/store.ts";
import {
  certificateChange,
  existingCertificate,
  refuseDuplicate,
  versionRow,
} from "./certificate-intake.ts";
import type { ControlContext } from "../api/context.ts";
import { assertStillInProcess } from "../workers/in-process.ts";
import { authorityChanged, refuseAuthority } from "./trust.ts";

/** How many versions of a certificate are kept: the newest, and always the active one. */
const VERSIONS_KEPT = 20;

type RotationContext = Pick<ControlContext, "store" | "keyring" | "edge" | "clock">;

/** A certificate, with the version that was added, activated or revoked. */
export interface Rotated {
  readonly certificate: StoredCertificate;
  readonly version: CertificateVersionRow;
}

interface Target {
  readonly accountId: string;
  readonly certificateId: string | undefined;
  readonly by: Actor;
}

/**
 * Adds a version to a certificate or CA, and activates it. The id stays the same. On return, new connections of its
 * bindings present the new version.
 * @throws Failure `certificate_not_found`, `certificate_kind_differs`, `certificate_duplicate`
 */
export function addVersion(
  context: RotationContext,
  target: Target,
  parsed: JudgedUpload,
  { activate = true }: { readonly activate?: boolean } = {},
): Promise<Rotated> {
  const now = context.clock();
  return applyChange(context, async (write) => {
    const { db } = write;
    const certificate = await existing(write, target);
    if ((certificate.ca === 1) !== (parsed.kind === "ca")) {
      throw new Failure("certificate_kind_differs", {
        message: `${certificate.id} is ${certificate.ca === 1 ? "a CA" : "a leaf certificate"}, which a new version has to be too`,
        facts: { certificateId: certificate.id },
      });
    }
    await refuseDuplicate(db, target.accountId, parsed.facts.contentHash);
    // Locks the row, so two rotations at once get two numbers.
    await updateCertificate(db, certificate.id, { updatedOn: now.toISOString() });
    const versions = await listCertificateVersions(db, certificate.id);
    const owner = {
      accountId: certificate.accountId,
      certificateId: certificate.id,
      version: (versions[0]?.version ?? 0) + 1,
    };
    const version = await versionRow(context.keyring, owner, parsed, now);
    await insertCertificateVersion(db, version);
    // Revoked versions are kept, so that their content cannot be uploaded again as new.
    const forgotten = versions
      .slice(VERSIONS_KEPT - 1)
      .filter((old) => old.revokedOn === null || isExpired(old, now))
      .filter((old) => old.version !== certificate.activeVersion || activate)
      .map((old) => old.version);
    await deleteVersions(db, certificate.id, forgotten);
    const value = activate
      ? await makeActive(write, certificate, version, now)
      : { certificate, version };
    return { value, audit: auditOf(target, "version", certificate, value) };
  });
}

/**
 * Presents another version of the certificate from now on.
 * @throws Failure `certificate_not_found`, `certificate_version_not_found`, `certificate_version_revoked`,
 * `upload_expired` unless `allowExpired`
 */
export function activateVersion(
  context: RotationContext,
  target: Target,
  number: number,
  { allowExpired = false }: { readonly allowExpired?: boolean } = {},
): Promise<Rotated> {
  const now = context.clock();
  return applyChange(context, async (write) => {
    const certificate = await existing(write, target);
    const version = await existingCertificateVersion(write, certificate, number);
    if (version.revokedOn !== null) throw revoked(version);
    if (!allowExpired && isExpired(version, now)) throw expired(version, now);
    const value = await makeActive(write, certificate, version, now);
    return { value, audit: auditOf(target, "activate", certificate, value) };
  });
}

/**
 * Presents the version again that was active before the current one, or the latest before it that can be presented. The
 * version that it leaves is abandoned: only `activateVersion` presents it again.
 * @throws Failure `certificate_not_found`, `certificate_rollback_impossible`
 */
export function rollBack(context: RotationContext, target: Target): Promise<Rotated> {
  const now = context.clock();
  return applyChange(context, async (write) => {
    const certificate = await existing(write, target);
    const versions = await listCertificateVersions(write.db, certificate.id);
    const presentable = new Map(
      versions
        .filter(({ version }) => version !== certificate.activeVersion)
        .filter((version) => version.revokedOn === null && !isExpired(version, now))
        .map((version) => [version.version, version]),
    );
    const history = await listActivations(write.db, certificate.id);
    const before = history.find(({ version }) => presentable.has(version));
    const version = before && presentable.get(before.version);
    if (before && version) {
      await abandonActivations(write.db, certificate.id, before.sequence);
      const value = await makeActive(write, certificate, version, now);
      return { value, audit: auditOf(target, "rollback", certificate, value) };
    }
    throw new Failure("certificate_rollback_impossible", {
      message: `no version that was in force before version ${certificate.activeVersion} of ${certificate.id} can be presented`,
      facts: { certificateId: certificate.id, activeVersion: certificate.activeVersion },
    });
  });
}

/**
 * Revokes a version: it is never presented again, and its connections are cut. If it was the active one, bindings
 * answer with a failure until another version is uploaded or activated.
 * @param number Default: every version
 * @throws Failure `certificate_not_found`, `certificate_version_not_found`, `certificate_kind_differs` for a CA, which
 * is deleted or tied elsewhere instead
 */
export function revoke(
  context: RotationContext,
  target: Target,
  number?: number,
): Promise<{ readonly certificate: StoredCertificate; readonly revoked: readonly number[] }> {
  const now = context.clock().toISOString();
  return applyChange(context, async (write) => {
    const certificate = await existing(write, target);
    refuseAuthority(certificate);
    const versions =
      number === undefined
        ? await listCertificateVersions(write.db, certificate.id)
        : [await existingCertificateVersion(write, certificate, number)];
    const numbers = versions.map(({ version }) => version);
    await revokeVersions(write.db, certificate.id, numbers, now);
    await updateCertificate(write.db, certificate.id, { updatedOn: now });
    await write.changed(certificateChange(certificate));
    const after = await existing(write, target);
    return {
      value: { certificate: after, revoked: numbers.toReversed() },
      audit: {
        ...auditOf(target, "revoke", certificate, { certificate: after, version: after.active }),
        after: { revoked: numbers.toReversed() },
      },
    };
  });
}

/** @throws Failure `certificate_version_not_found` */
export async function existingCertificateVersion(
  { db }: Pick<Write, "db">,
  { id }: StoredCertificate,
  number: number,
): Promise<CertificateVersionRow> {
  const versions = await listCertificateVersions(db, id);
  const found = versions.find(({ version }) => version === number);
  if (found) return found;
  throw new Failure("certificate_version_not_found", {
    message: `certificate ${id} has no version ${number}, it has ${versions.map(({ version }) => version).join(", ")}`,
    facts: { certificateId: id, version: number },
  });
}

function auditOf(
  { by }: Target,
  did: "version" | "activate" | "rollback" | "revoke",
  before: StoredCertificate,
  { certificate, version }: Rotated,
): Audit {
  const { id, accountId, name, ca } = certificate;
  return {
    by,
    action: `certificate.${did}`,
    accountId,
    resource: { type: ca === 1 ? "authority" : "certificate", id, name },
    fingerprint: version.fingerprint,
    before: { activeVersion: before.activeVersion, fingerprint: before.active.fingerprint },
    after: { activeVersion: certificate.activeVersion, version: version.version },
  };
}

function existing({ db }: Write, { accountId, certificateId }: Target): Promise<StoredCertificate> {
  return existingCertificate(db, accountId, certificateId);
}

async function makeActive(
  write: Write,
  certificate: StoredCertificate,
  version: CertificateVersionRow,
  now: Date,
): Promise<Rotated> {
  const change = { activeVersion: version.version, updatedOn: now.toISOString() };
  await updateCertificate(write.db, certificate.id, change);
  await recordActivation(write.db, certificate.id, version.version);
  if (certificate.ca === 1) {
    await authorityChanged(write, certificate.accountId, await tiesOf(write.db, certificate.id));
  } else {
    await assertStillInProcess(write.db, { ...certificate, active: version });
    await write.changed(certificateChange(certificate));
  }
  return { certificate: { ...certificate, ...change, active: version }, version };
}

function isExpired({ notAfter }: CertificateVersionRow, now: Date): boolean {
  return new Date(notAfter) < now;
}

function revoked({ certificateId, version, revokedOn }: CertificateVersionRow): Failure {
  return new Failure("certificate_version_revoked", {
    message: `version ${version} of ${certificateId} was revoked on ${revokedOn}`,
    facts: { certificateId, version, revokedOn },
  });
}

function expired({ certificateId, version, notAfter }: CertificateVersionRow, now: Date): Failure {
  return new Failure("upload_expired", {
    message: `version ${version} of ${certificateId} ${describeExpiry(new Date(notAfter), now)}, on ${notAfter}`,
    fix: "Upload the renewed certificate: `countersign certificate rotate`. `--allow-expired` activates this one all the same.",
    facts: { certificateId, version, notAfter },
  });
}
