import { randomUUID, X509Certificate } from "node:crypto";
import type { JudgedUpload } from "../../certificates/key-intake.ts";
import { Failure } from "../../failures/failures.ts";
import { hostKeyPlace } from "../../keys/places.ts";
import type { Actor, Audit } from "../../store/access/audit.ts";
import type { Database } from "../../store/database.ts";
import {
  deleteHostCertificate,
  findHostCertificate,
  hostsOf,
  listHostCertificates,
  putHostCertificate,
} from "../../store/hosts/host-certificates.ts";
import type { HostCertificateRow } from "../../store/schema.ts";
import type { Write } from "../../store/store.ts";
import { applyChange } from "../api/apply-change.ts";
import type { ControlContext } from "../api/context.ts";
import { assertRoom } from "../api/room.ts";
import { hostOfAnother } from "./host-owners.ts";
import { type Zone, zoneOf } from "./zones.ts";

export type TakingContext = Pick<ControlContext, "store" | "keyring" | "edge" | "clock">;

export type FreshCertificate = Pick<
  HostCertificateRow,
  "hosts" | "chain" | "sealedKey" | "notAfter" | "modifiedOn"
>;

export interface HostTarget {
  readonly accountId: string;
  /** Lower case; `*.example.com` allowed. */
  readonly host: string;
  readonly by: Actor;
}

/** Where a certificate comes from, and what renews it. */
export interface CertificateSource
  extends
    Pick<HostCertificateRow, "source" | "folder">,
    Partial<Pick<HostCertificateRow, "acmeAccountId" | "acmeChallenge" | "acmeNextOn">> {
  /** Id of the certificate that it renews: nothing is changed if ACME no longer renews that one. */
  readonly inPlaceOf?: string;
}

/**
 * Sets the certificate of a host. The host's previous certificate is replaced, for all the hosts that it was for.
 * @throws Failure `host_certificate_unfit`
 */
export async function presentAt(
  context: TakingContext,
  { accountId, host, by }: HostTarget,
  judged: JudgedUpload,
  { inPlaceOf, ...from }: CertificateSource,
): Promise<HostCertificateRow> {
  const { store, edge } = context;
  const zone = zoneOf(accountId, host.replace(/^\*\./, ""));
  const saying = async (db: Database): Promise<HostCertificateRow[]> =>
    (await listHostCertificates(db, accountId, zone.name)).filter(
      (row) => hostsOf(row)[0] === host,
    );
  const id = (await saying(store.db))[0]?.id ?? randomUUID();
  const fresh = await freshOf(context, { zone, accountId, id }, judged);
  const names = hostsOf(fresh);
  if (!names.includes(host)) {
    throw new Failure("host_certificate_unfit", {
      message: `the certificate is for ${names.join(", ").slice(0, 300)}, not for "${host.slice(0, 253)}"`,
    });
  }
  // The requested host comes first.
  const hosts = [host, ...names.filter((name) => name !== host)];
  return applyChange({ store, edge }, async (write) => {
    const before = await saying(write.db);
    if (inPlaceOf !== undefined && !before.some((one) => isRenewed(one, inPlaceOf))) {
      throw new Failure("host_certificate_not_found", {
        message: `"${host}" was given another certificate, or none, while this one was issued`,
      });
    }
    for (const other of before) {
      if (other.id !== id) await deleteHostCertificate(write.db, other.id);
    }
    const kept = before.find((other) => other.id === id);
    const row = {
      ...(kept ?? firstRow({ id, accountId, zone }, fresh)),
      ...fresh,
      ...notRenewed,
      ...from,
      hosts,
    };
    const done = await putForHosts(write, by, row);
    await write.changed({ kind: "hosts", accountId });
    return done;
  });
}

/** @throws Failure `host_certificate_unfit` if no host of the zone can present it */
export async function freshOf(
  { keyring, clock }: Pick<TakingContext, "keyring" | "clock">,
  { zone, accountId, id }: { readonly zone: Zone; readonly accountId: string; readonly id: string },
  judged: JudgedUpload,
): Promise<FreshCertificate> {
  if (judged.kind !== "leaf") throw new Failure("host_certificate_unfit");
  const place = hostKeyPlace(accountId, id);
  return {
    hosts: hostsIn(judged.chain, judged.facts.names, zone),
    chain: judged.chain,
    sealedKey: keyring.wrap(place, await judged.sealKey(place)),
    notAfter: judged.facts.notAfter.toISOString(),
    modifiedOn: clock().toISOString(),
  };
}

const notRenewed = {
  acmeAccountId: null,
  acmeChallenge: null,
  acmeFailures: 0,
  acmeFailure: null,
  acmeNextOn: null,
} as const;

/** The source of an uploaded certificate, which neither a folder nor an ACME server may replace. */
export const uploaded: Omit<CertificateSource, "inPlaceOf"> & typeof notRenewed = {
  source: "upload",
  folder: null,
  ...notRenewed,
};

function isRenewed({ id, source }: HostCertificateRow, wanted: string): boolean {
  return id === wanted && source === "acme";
}

/** The row of a certificate that did not exist before. */
export function firstRow(
  { id, accountId, zone }: { readonly id: string; readonly accountId: string; readonly zone: Zone },
  fresh: FreshCertificate,
): HostCertificateRow {
  return {
    ...fresh,
    id,
    accountId,
    zone: zone.name,
    bundleMethod: "ubiquitous",
    priority: 0,
    ...uploaded,
    uploadedOn: fresh.modifiedOn,
  };
}

/** @throws Failure `host_certificate_unfit` for hosts of another account, `account_full` */
export async function putForHosts(
  { db }: Pick<Write, "db">,
  by: Actor,
  row: HostCertificateRow,
): Promise<{ readonly value: HostCertificateRow; readonly audit: Audit }> {
  const taken = await hostOfAnother(db, row.accountId, hostsOf(row));
  if (taken !== null) {
    throw new Failure("host_certificate_unfit", {
      message: `the certificate names "${taken}", which belongs to another account`,
    });
  }
  if ((await findHostCertificate(db, row.accountId, row.id)) === null) {
    await assertRoom(db, row.accountId, "hostCertificates");
  }
  await putHostCertificate(db, row);
  return { value: row, audit: hostAudit(by, "host.certificate", row) };
}

export function hostAudit(
  by: Actor,
  action: Audit["action"],
  { id, accountId, hosts }: HostCertificateRow,
): Audit {
  const resource = { type: "host_certificate", id };
  return { by, action, accountId, resource, after: { hosts } };
}

/** The DNS names of the leaf, each of which has to be in the zone. */
function hostsIn(chain: string, names: readonly string[], zone: Zone): readonly string[] {
  const { keyUsage } = new X509Certificate(chain);
  const hosts = names
    .filter((name) => name.startsWith("DNS:"))
    .map((name) => name.slice(4).toLowerCase());
  const strange = hosts.find((host) => host !== zone.name && !host.endsWith(`.${zone.name}`));
  const isForServers = keyUsage === undefined || keyUsage.includes("1.3.6.1.5.5.7.3.1");
  if (hosts.length > 0 && strange === undefined && isForServers) return hosts;
  throw new Failure("host_certificate_unfit", {
    message:
      strange !== undefined
        ? `the certificate names "${strange.slice(0, 100)}", which is not in the zone "${zone.name}"`
        : isForServers
          ? "the certificate names no host"
          : "the certificate is not for servers",
  });
}
