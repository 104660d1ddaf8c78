import { mismatchNaming } from "../../certificates/match.ts";
import type { HeldUpload, JudgedUpload } from "../../certificates/key-intake.ts";
import { keyPlace, type Place } from "../../keys/places.ts";
import type { Keyring } from "../../keys/seal.ts";
import { Failure } from "../../failures/failures.ts";
import { accountAuthorities } from "../../store/authorities.ts";
import { findContent, findPublicKey } from "../../store/certificates/certificate-versions.ts";
import { findCertificate, type StoredCertificate } from "../../store/certificates/certificates.ts";
import type { CertificateVersionRow } from "../../store/schema.ts";
import type { Changed, Database } from "../../store/database.ts";
import type { ControlContext } from "../api/context.ts";

/**
 * Judges an upload with the stored certificates of the account.
 * @throws Failure of `parseUpload`; if the key does not match, it names the stored certificate that the key belongs to
 */
export async function judgeUpload(
  { store, clock }: Pick<ControlContext, "store" | "clock">,
  accountId: string,
  { upload, ca, allowExpired, place }: UploadToJudge,
): Promise<JudgedUpload> {
  try {
    const authorities = await accountAuthorities(store.db, accountId);
    return await upload.judge({ ca, allowExpired, now: clock(), authorities }, place);
  } catch (error) {
    if (!(error instanceof Failure) || error.code !== "private_key_mismatch") throw error;
    const hash = error.facts["publicKeyHash"];
    const owner =
      typeof hash === "string" ? await findPublicKey(store.db, accountId, hash) : undefined;
    throw owner ? mismatchNaming(error, owner.name ?? owner.id) : error;
  }
}

interface UploadToJudge {
  readonly upload: HeldUpload;
  readonly ca: boolean;
  readonly allowExpired: boolean;
  /** Where the key is going to be stored, if that is known already. */
  readonly place?: Place;
}

/** The row of a version, with its key sealed for this place. */
export async function versionRow(
  keyring: Keyring,
  owner: { readonly accountId: string; readonly certificateId: string; readonly version: number },
  parsed: JudgedUpload,
  now: Date,
): Promise<CertificateVersionRow> {
  const { facts } = parsed;
  const place = keyPlace(owner);
  return {
    ...owner,
    chain: parsed.kind === "leaf" ? parsed.chain : parsed.bundle,
    sealedKey: parsed.kind === "leaf" ? keyring.wrap(place, await parsed.sealKey(place)) : null,
    subject: facts.subject,
    issuer: facts.issuer,
    serialNumber: facts.serialNumber,
    signature: facts.signature,
    notBefore: facts.notBefore.toISOString(),
    notAfter: facts.notAfter.toISOString(),
    fingerprint: facts.fingerprint,
    contentHash: facts.contentHash,
    names: facts.names,
    keyKind: facts.key,
    publicKeyHash: facts.publicKeyHash,
    uploadedOn: now.toISOString(),
    revokedOn: null,
    warnings: parsed.standing.map(({ message }) => message),
  };
}

/** @throws Failure `certificate_duplicate`, naming the certificate and version with the same content */
export async function refuseDuplicate(
  db: Database,
  accountId: string,
  contentHash: string,
): Promise<void> {
  const same = await findContent(db, accountId, contentHash);
  if (!same) return;
  const { id, name, version, activeVersion } = same;
  const which = version === activeVersion ? "" : `version ${version} of `;
  throw new Failure("certificate_duplicate", {
    message: `the certificate is already in this account, as ${which}${id}${name ? ` ("${name}")` : ""}`,
    facts: { certificateId: id, version },
  });
}

/** @throws Failure `certificate_not_found` */
export async function existingCertificate(
  db: Database,
  accountId: string,
  id = "",
): Promise<StoredCertificate> {
  const certificate = await findCertificate(db, accountId, id);
  if (certificate) return certificate;
  throw new Failure("certificate_not_found", {
    message: `there is no certificate "${id.slice(0, 100)}" in this account`,
  });
}

export function certificateChange(certificate: {
  readonly accountId: string;
  readonly id: string;
}): Changed {
  return {
    kind: "certificate",
    accountId: certificate.accountId,
    certificateId: certificate.id,
  };
}
