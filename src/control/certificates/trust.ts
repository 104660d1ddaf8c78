import { randomUUID } from "node:crypto";
import { Failure } from "../../failures/failures.ts";
import { listHyperdrive } from "../../store/hyperdrive.ts";
import { replaceTies, tiesOf } from "../../store/authorities.ts";
import {
  updateCertificate,
  type StoredCertificate,
} from "../../store/certificates/certificates.ts";
import type { AuthorityTieRow } from "../../store/schema.ts";
import type { Database } from "../../store/database.ts";
import type { Write } from "../../store/store.ts";
import { certificateChange, existingCertificate } from "./certificate-intake.ts";

/** Where a CA is trusted. */
export type TrustScope =
  | { readonly account: true }
  | {
      readonly account: false;
      /**
       * Ids of certificates. Their origins are verified by this CA and other CAs tied in this way, and by no others.
       */
      readonly certificates: readonly string[];
      /** `api.example.com`, `*.example.com`: for these hosts the CA is trusted in addition to the account's CAs. */
      readonly hosts: readonly string[];
      /**
       * The hosts' servers must have one of these SPIFFE IDs, instead of the host's name. Default: the name is
       * verified.
       */
      readonly spiffeIds?: readonly string[] | undefined;
    };

/**
 * Sets where a CA is trusted, from the next connection on.
 * @throws Failure `certificate_not_found`, `certificate_kind_differs`
 */
export async function setTrustScope(
  write: Write,
  accountId: string,
  authorityId: string | undefined,
  scope: TrustScope,
  now: Date,
): Promise<StoredCertificate> {
  const { db } = write;
  const authority = await existingCertificate(db, accountId, authorityId);
  refuseLeaf(authority);
  const ties: AuthorityTieRow[] = [];
  if (!scope.account) {
    const tie = { accountId, authorityId: authority.id };
    for (const certificateId of new Set(scope.certificates)) {
      refuseAuthority(await existingCertificate(db, accountId, certificateId));
      ties.push({ ...tie, id: randomUUID(), certificateId, host: null, spiffeIds: null });
    }
    const spiffeIds = scope.spiffeIds?.length ? scope.spiffeIds : null;
    for (const host of new Set(scope.hosts)) {
      ties.push({ ...tie, id: randomUUID(), certificateId: null, host, spiffeIds });
    }
  }
  const before = await tiesOf(db, authority.id);
  await replaceTies(db, authority.id, ties);
  const tied = scope.account ? 0 : 1;
  await updateCertificate(db, authority.id, { tied, updatedOn: now.toISOString() });
  await authorityChanged(write, accountId, [...before, ...ties]);
  return { ...authority, tied };
}

/** Tells the edge about a CA that was added, changed or deleted, and about the certificates that rely on it. */
export async function authorityChanged(
  { db, changed }: Write,
  accountId: string,
  ties: readonly Pick<AuthorityTieRow, "certificateId">[],
): Promise<void> {
  await changed({ kind: "trust", accountId });
  for (const { id, caCertificateId } of await listHyperdrive(db, accountId)) {
    if (caCertificateId !== null) await changed({ kind: "database", accountId, databaseId: id });
  }
  for (const id of new Set(ties.map(({ certificateId }) => certificateId))) {
    if (id !== null) await changed(certificateChange({ accountId, id }));
  }
}

/**
 * Without its only CA, a certificate's origins would be verified by more CAs than intended, so such a CA cannot be
 * deleted.
 * @throws Failure `authority_in_use`
 */
export async function refusePinned(db: Database, authority: StoredCertificate): Promise<void> {
  const pinned = (await tiesOf(db, authority.id)).flatMap(
    ({ certificateId }) => certificateId ?? [],
  );
  if (pinned.length === 0) return;
  throw new Failure("authority_in_use", {
    message: `the origins of ${pinned.map((id) => `certificate ${id}`).join(", ")} are verified by CA ${authority.id} alone`,
    facts: { certificates: pinned },
  });
}

/** @throws Failure `certificate_kind_differs` */
export function refuseLeaf({ ca, id }: StoredCertificate): void {
  if (ca === 1) return;
  throw new Failure("certificate_kind_differs", {
    message: `${id} is a leaf certificate, where a CA is needed`,
    facts: { certificateId: id },
  });
}

/** @throws Failure `certificate_kind_differs` */
export function refuseAuthority({ ca, id }: StoredCertificate): void {
  if (ca === 0) return;
  throw new Failure("certificate_kind_differs", {
    message: `${id} is a CA, where a leaf certificate is needed`,
    facts: { certificateId: id },
  });
}
