import { createHash, X509Certificate } from "node:crypto";
import { Failure } from "../failures/failures.ts";
import { readCredential, validityFailure, type Credential } from "../certificates/credential.ts";
import { isVersion1 } from "../certificates/shown.ts";
import type { BoundDatabase } from "../contract/database.ts";
import type { HostOrigin } from "../contract/hosts.ts";
import { isRemote } from "./storage/remote-objects.ts";
import { hostsOverlap } from "../network/patterns.ts";
import { IDENTITY } from "../contract/identity.ts";
import type {
  AccountTrust,
  CertificateVersion,
  Source,
  WorkerBinding,
  WorkerVersion,
} from "../contract/change-feed.ts";

/** What a Worker's own process presents for one binding, and what it verifies origins against. */
export interface OwnPresentation {
  readonly credential: Credential;
  /** The public roots that workerd knows count too. */
  readonly publicRoots: boolean;
  /** PEM. */
  readonly authorities: readonly string[];
}

/** A version with what it presents in its own process: what one generation runs. */
export type RunnableVersion = WorkerVersion & {
  /** By the name of the binding. Bindings that are not here lead to the gateway. */
  readonly presented: ReadonlyMap<string, OwnPresentation>;
  /** By the name of the binding: the databases that its drivers are told of. */
  readonly databases: ReadonlyMap<string, ToldDatabase>;
  /** At hosts that it has routes at: where its `fetch()` without a binding goes there. */
  readonly origins: readonly HostOrigin[];
  /** Equal for two generations that run and present the same. */
  readonly identity: string;
  /** Unix time in ms at which a certificate begins or ceases to be valid. Null: none is in-process. */
  readonly changesAt: number | null;
  /** Which share of its calls its process tells of, 0 to 1. Null: none, and none costs anything. */
  readonly traced: number | null;
};

/** A database as a Worker is told of it, and whether its connections present the Worker's identity. */
export type ToldDatabase = BoundDatabase & { readonly presentsIdentity: boolean };

/**
 * Reads what a version's in-process bindings present now. One whose certificate cannot be presented
 * (gone, revoked, not valid, of X.509 version 1, or for some hosts only), or whose origins are
 * trusted as workerd cannot, leads to the gateway, which answers with the reason, or does it.
 * @param isFollowed somebody reads its log right now: all of its calls are told of
 */
export async function runnable(
  source: Pick<Source, "certificate" | "trust" | "database" | "origins" | "routedHosts">,
  version: WorkerVersion,
  isFollowed = false,
): Promise<RunnableVersion> {
  const presented = new Map<string, OwnPresentation>();
  const changes: number[] = [];
  const now = Date.now();
  for (const binding of version.bindings.filter(isInProcess)) {
    const { accountId } = version;
    const certificate = await source.certificate(accountId, binding.certificateId);
    if (certificate === null || certificate.revokedOn !== null) continue;
    const credential = readable(() => readCredential(certificate));
    if (credential === null) continue;
    changes.push(...[credential.notBefore, credential.notAfter].filter((time) => time > now));
    if (validityFailure(credential, now) !== null || credential.allowedHosts !== null) continue;
    // workerd's TLS does not present one of version 1.
    if (isVersion1(new X509Certificate(certificate.chain))) continue;
    const trust = await source.trust(accountId);
    // workerd knows servers by their names alone.
    if (Object.keys(trust.spiffe ?? {}).length > 0) continue;
    const presentation = withTrust(credential, trust);
    if (presentation.authorities.some(isTrustedAsItself)) continue;
    presented.set(binding.name, presentation);
  }
  const changesAt = changes.length === 0 ? null : Math.min(...changes);
  const databases = await toldDatabases(source, version);
  const origins = await originsBehind(source, version);
  const traced = isFollowed ? 1 : (version.observability?.samplingRate ?? null);
  const observed = JSON.stringify([traced, version.observability ?? null]);
  const { objects = [], workflows = [] } = version;
  const identity = [
    identityOf(version.versionId, presented, [...databases, ...origins]),
    ...(traced === null ? [] : [observed]),
    ...(objects.length === 0 ? [] : [JSON.stringify(objects)]),
    ...(workflows.length === 0 ? [] : [JSON.stringify(workflows)]),
    ...version.bindings.filter(isRemote).map(({ name, remote }) => `${name} ${remote.scriptName}`),
    ...(version.takesEvents === true ? ["events"] : []),
  ].join(" ");
  return { ...version, presented, databases, origins, identity, changesAt, traced };
}

/** The origins of hosts that a Worker has routes at. */
async function originsBehind(
  source: Pick<Source, "origins" | "routedHosts">,
  version: WorkerVersion,
): Promise<readonly HostOrigin[]> {
  const routed = await source.routedHosts(version);
  if (routed.length === 0) return [];
  return (await source.origins(version.accountId))
    .filter(({ host }) => routed.some((other) => hostsOverlap(other, host)))
    .map(({ host, to, certificateId }) => ({ host, to, certificateId }));
}

/** One whose configuration is gone has no entry: it cannot be bound. */
async function toldDatabases(
  source: Pick<Source, "database">,
  { accountId, bindings }: WorkerVersion,
): Promise<ReadonlyMap<string, ToldDatabase>> {
  const told = new Map<string, ToldDatabase>();
  for (const binding of bindings) {
    if (binding.type !== "hyperdrive") continue;
    const config = await source.database(accountId, binding.databaseId);
    if (config === null) continue;
    const { databaseId, protocol, database, user, certificateId } = config;
    const presentsIdentity = certificateId === IDENTITY;
    told.set(binding.name, { databaseId, protocol, database, user, presentsIdentity });
  }
  return told;
}

/** Does a Worker bind the database? */
export function bindsDatabase(
  { bindings }: Pick<WorkerVersion, "bindings">,
  databaseId: string,
): boolean {
  return bindings.some(
    (binding) => binding.type === "hyperdrive" && binding.databaseId === databaseId,
  );
}

/** Does a Worker ask for the certificate, or any if none is named, in its own process? */
export function bindsInProcess(
  { bindings }: Pick<WorkerVersion, "bindings">,
  certificateId?: string,
): boolean {
  return bindings
    .filter(isInProcess)
    .some((binding) => certificateId === undefined || binding.certificateId === certificateId);
}

function isInProcess(
  binding: WorkerBinding,
): binding is WorkerBinding & { type: "mtls_certificate" } {
  return binding.type === "mtls_certificate" && binding.mode === "in-process";
}

function withTrust(credential: Credential, { authorities }: AccountTrust): OwnPresentation {
  const { trust } = credential;
  return { credential, publicRoots: trust === null, authorities: trust ?? authorities };
}

/** For workerd's TLS an anchor is a CA: the key of a self-signed origin could vouch for any name. */
function isTrustedAsItself(bundle: string): boolean {
  const pems = bundle.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  return pems.some((pem) => !new X509Certificate(pem).ca);
}

function identityOf(
  versionId: string,
  presented: ReadonlyMap<string, OwnPresentation>,
  others: readonly unknown[],
): string {
  if (presented.size === 0 && others.length === 0) return versionId;
  const facts: unknown[] = [...presented].map(
    ([name, { credential, publicRoots, authorities }]) => [
      name,
      credential.certificateId,
      credential.version,
      publicRoots,
      authorities,
    ],
  );
  facts.push(...others);
  return `${versionId} ${createHash("sha256").update(JSON.stringify(facts)).digest("base64url")}`;
}

function readable(read: () => Credential): Credential | null {
  try {
    return read();
  } catch (error) {
    if (error instanceof Failure) return null;
    throw error;
  }
}

/** Is this version of the certificate one that nobody may present any more? */
export function isWithdrawn(certificate: CertificateVersion | null, version: number): boolean {
  if (certificate === null) return true;
  if (certificate.revokedVersions?.includes(version) === true) return true;
  return certificate.revokedOn !== null && certificate.version === version;
}
