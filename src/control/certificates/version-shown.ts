import { describeExpiry, expiryThreshold } from "../../certificates/expiry.ts";
import { standingWarnings } from "../../certificates/standing.ts";
import { boundCertificates } from "../../store/hosts/associations.ts";
import { listTies, tiesOf } from "../../store/authorities.ts";
import { lastEvents } from "../../store/certificates/certificate-events.ts";
import { sourcesOfAccount } from "../../store/certificates/watched-folders.ts";
import type { StoredCertificate } from "../../store/certificates/certificates.ts";
import type {
  AuthorityTieRow,
  CertificateEventRow,
  CertificateSourceRow,
  CertificateVersionRow,
} from "../../store/schema.ts";
import type { Database } from "../../store/database.ts";

const DAY = 86_400_000;

/** The expiry of a version, in words and in numbers. */
export interface ShownExpiry {
  /** `expires in 3 days`, `expired 2 hours ago`. */
  readonly expires: string;
  /** Whole days, rounded down; negative after expiry. */
  readonly days_left: number;
  /** The smallest of 30, 14, 7, 3, 1 that was passed; 0 after expiry. Null: more than 30 days are left. */
  readonly threshold: number | null;
}

export function expiryOf({ notAfter }: { readonly notAfter: string }, now: Date): ShownExpiry {
  const end = new Date(notAfter);
  return {
    expires: describeExpiry(end, now),
    days_left: Math.floor((end.getTime() - now.getTime()) / DAY),
    threshold: expiryThreshold(end, now),
  };
}

/** One version, without its key. */
export function shownCertificateVersion(
  version: CertificateVersionRow,
  activeVersion: number,
  now: Date,
): object {
  return {
    version: version.version,
    active: version.version === activeVersion,
    ...factsOf(version, now),
    uploaded_on: version.uploadedOn,
    certificates: version.chain,
  };
}

/** What is known about an account's certificates beyond their own rows. */
export interface Surroundings {
  readonly scripts: ReadonlyMap<string, readonly string[]>;
  readonly events: ReadonlyMap<string, readonly CertificateEventRow[]>;
  readonly ties: readonly AuthorityTieRow[];
  readonly sources: readonly CertificateSourceRow[];
}

export async function surroundings(db: Database, accountId: string): Promise<Surroundings> {
  return {
    scripts: await boundCertificates(db, accountId),
    events: await lastEvents(db, accountId),
    ties: await listTies(db, accountId),
    sources: await sourcesOfAccount(db, accountId),
  };
}

/** Everything except the PEM and the key. */
export function shownCertificate(
  certificate: StoredCertificate,
  around: Surroundings,
  now: Date,
): object {
  const { id, name, ca, active, allowedHosts, uploadedOn, updatedOn } = certificate;
  const shown = {
    id,
    name,
    ca: ca === 1,
    version: active.version,
    ...factsOf(active, now),
    uploaded_on: uploadedOn,
    version_uploaded_on: active.uploadedOn,
    updated_on: updatedOn,
  };
  if (ca === 1) return { ...shown, trust: shownTrust(certificate, around.ties) };
  const authorities = around.ties
    .filter(({ certificateId }) => certificateId === id)
    .map(({ authorityId }) => authorityId);
  const source = around.sources.find(({ certificateId }) => certificateId === id);
  return {
    ...shown,
    allowed_hosts: allowedHosts,
    authorities: authorities.length > 0 ? authorities : null,
    scripts: around.scripts.get(id) ?? [],
    last_handshake: shownEvent(around.events.get(id), "handshake"),
    last_failure: shownEvent(around.events.get(id), "failure"),
    source: source ? shownSource(source) : null,
  };
}

/** Where a CA is trusted: from the ties of a listing, or, without them, from a query. */
export function shownTrust(
  { id, tied }: Pick<StoredCertificate, "id" | "tied">,
  ties: readonly AuthorityTieRow[],
): object {
  const own = ties.filter(({ authorityId }) => authorityId === id);
  const spiffeIds = own.find((tie) => tie.spiffeIds !== null)?.spiffeIds ?? null;
  return {
    account: tied === 0,
    certificates: own.flatMap(({ certificateId }) => certificateId ?? []),
    hosts: own.flatMap(({ host }) => host ?? []),
    ...(spiffeIds !== null && { spiffe_ids: spiffeIds }),
  };
}

export async function trustOf(
  db: Database,
  authority: Pick<StoredCertificate, "id" | "tied">,
): Promise<object> {
  return shownTrust(authority, await tiesOf(db, authority.id));
}

function factsOf(version: CertificateVersionRow, now: Date): object {
  return {
    subject: version.subject,
    issuer: version.issuer,
    serial_number: version.serialNumber,
    fingerprint: version.fingerprint,
    key: version.keyKind,
    signature: version.signature,
    names: version.names,
    not_before: version.notBefore,
    expires_on: version.notAfter,
    ...expiryOf(version, now),
    revoked_on: version.revokedOn,
    // A CA has no sealed key.
    warnings: version.warnings ?? standingWarnings(version.chain, version.sealedKey === null),
  };
}

function shownEvent(
  events: readonly CertificateEventRow[] | undefined,
  kind: CertificateEventRow["kind"],
): object | null {
  const event = events?.find((candidate) => candidate.kind === kind);
  return event ? { at: event.at, ...(JSON.parse(event.body) as object) } : null;
}

function shownSource(source: CertificateSourceRow): object {
  return {
    folder: source.folder,
    certificate_file: source.certificateFile,
    key_file: source.keyFile,
    taken_on: source.takenOn,
    failed_on: source.failedOn,
    failure: source.failure,
  };
}
