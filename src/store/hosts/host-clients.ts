import { X509Certificate } from "node:crypto";
import type { HostClients } from "../../contract/hosts.ts";
import type { Database } from "../database.ts";
import { listAuthorities, listIssuedRevoked } from "../identities.ts";
import { revokedByLists } from "./revocation-lists.ts";
import type {
  ClientCertificateRow,
  ClientRevocationRow,
  HostAuthorityRow,
  HostClientsRow,
  IdentityAuthorityRow,
} from "../schema.ts";

/** In the place of a CA's id: the account's own, which issues to Workers and to clients. */
export const MANAGED = "managed";

export interface HostRules extends HostClientsRow {
  /** Ids, or `managed`. */
  readonly authorities: readonly string[];
}

/** By host. */
export async function listHostRules(db: Database, accountId: string): Promise<HostRules[]> {
  const rows = await db
    .selectFrom("hostClients")
    .selectAll()
    .where("accountId", "=", accountId)
    .orderBy("host")
    .execute();
  const ties = await db
    .selectFrom("hostAuthorities")
    .selectAll()
    .where("accountId", "=", accountId)
    .orderBy("authorityId")
    .execute();
  const byHost = Map.groupBy(ties, ({ host }) => host);
  return rows.map((row) => ({
    ...row,
    authorities: (byHost.get(row.host) ?? []).map((tie) => tie.authorityId),
  }));
}

/** Hosts that ask for certificates of a CA, in the order that they were put in. */
export async function hostsOfAuthority(
  db: Database,
  { accountId, authorityId }: Pick<HostAuthorityRow, "accountId" | "authorityId">,
): Promise<readonly string[]> {
  const rows = await db
    .selectFrom("hostAuthorities")
    .select("host")
    .where("accountId", "=", accountId)
    .where("authorityId", "=", authorityId)
    .orderBy("position")
    .orderBy("host")
    .execute();
  return rows.map(({ host }) => host);
}

/** @param hosts of this CA, as they are to be told */
export async function orderHosts(
  db: Database,
  { accountId, authorityId }: Pick<HostAuthorityRow, "accountId" | "authorityId">,
  hosts: readonly string[],
): Promise<void> {
  for (const [position, host] of hosts.entries()) {
    await db
      .updateTable("hostAuthorities")
      .set({ position })
      .where("accountId", "=", accountId)
      .where("host", "=", host)
      .where("authorityId", "=", authorityId)
      .execute();
  }
}

/** @param rules null: the host asks nothing of its clients any more */
export async function putHostRules(
  db: Database,
  key: { readonly accountId: string; readonly host: string },
  rules: Pick<HostRules, "mode" | "forward" | "authorities"> | null,
): Promise<void> {
  const { accountId, host } = key;
  const before = await db
    .selectFrom("hostAuthorities")
    .select(["authorityId", "position"])
    .where("accountId", "=", accountId)
    .where("host", "=", host)
    .execute();
  const positions = new Map(before.map((tie) => [tie.authorityId, tie.position]));
  for (const table of ["hostAuthorities", "hostClients"] as const) {
    await db
      .deleteFrom(table)
      .where("accountId", "=", accountId)
      .where("host", "=", host)
      .execute();
  }
  if (rules === null) return;
  const { mode, forward, authorities } = rules;
  await db.insertInto("hostClients").values({ accountId, host, mode, forward }).execute();
  const ties = [...new Set(authorities)].map((authorityId) => ({
    accountId,
    host,
    authorityId,
    position: positions.get(authorityId) ?? 0,
  }));
  if (ties.length > 0) await db.insertInto("hostAuthorities").values(ties).execute();
}

export function listClientRevocations(
  db: Database,
  accountId: string,
): Promise<ClientRevocationRow[]> {
  return db
    .selectFrom("clientRevocations")
    .selectAll()
    .where("accountId", "=", accountId)
    .orderBy("createdOn")
    .orderBy("id")
    .execute();
}

export async function insertClientRevocation(
  db: Database,
  row: ClientRevocationRow,
): Promise<void> {
  await db.insertInto("clientRevocations").values(row).execute();
}

/** @returns whether there was one */
export async function deleteClientRevocation(
  db: Database,
  accountId: string,
  id: string,
): Promise<boolean> {
  const { numDeletedRows } = await db
    .deleteFrom("clientRevocations")
    .where("accountId", "=", accountId)
    .where("id", "=", id)
    .executeTakeFirstOrThrow();
  return numDeletedRows > 0n;
}

type InZone = Pick<ClientCertificateRow, "accountId" | "zoneId">;

/** A part of them, newest first, and how many there are. */
export async function listClientCertificates(
  db: Database,
  { accountId, zoneId }: InZone,
  page: {
    readonly status: "all" | "active" | "revoked";
    readonly limit: number;
    readonly offset: number;
  },
): Promise<{ readonly rows: ClientCertificateRow[]; readonly total: number }> {
  const { status, limit, offset } = page;
  const those = db
    .selectFrom("clientCertificates")
    .where("accountId", "=", accountId)
    .where("zoneId", "=", zoneId)
    .$if(status === "active", (query) => query.where("revokedOn", "is", null))
    .$if(status === "revoked", (query) => query.where("revokedOn", "is not", null));
  const rows = await those
    .selectAll()
    .orderBy("issuedOn", "desc")
    .orderBy("id")
    .limit(limit)
    .offset(offset)
    .execute();
  const { total } = await those
    .select((e) => e.fn.countAll<number | string>().as("total"))
    .executeTakeFirstOrThrow();
  return { rows, total: Number(total) };
}

export function findClientCertificate(
  db: Database,
  { accountId, zoneId }: InZone,
  id: string,
): Promise<ClientCertificateRow | undefined> {
  return db
    .selectFrom("clientCertificates")
    .selectAll()
    .where("id", "=", id)
    .where("accountId", "=", accountId)
    .where("zoneId", "=", zoneId)
    .executeTakeFirst();
}

export async function insertClientCertificate(
  db: Database,
  row: ClientCertificateRow,
): Promise<void> {
  await db.insertInto("clientCertificates").values(row).execute();
}

/** In the list of what the account's CA has issued too. */
export async function setClientRevoked(
  db: Database,
  { id, serial }: Pick<ClientCertificateRow, "id" | "serial">,
  revokedOn: string | null,
): Promise<void> {
  await db.updateTable("clientCertificates").set({ revokedOn }).where("id", "=", id).execute();
  await db
    .updateTable("issuedIdentities")
    .set({ revokedOn })
    .where("serial", "=", serial)
    .execute();
}

/** Host → what it asks of its clients, with everything that this needs. */
export async function clientsOfHosts(
  db: Database,
  accountId: string,
): Promise<ReadonlyMap<string, HostClients>> {
  const rules = await listHostRules(db, accountId);
  if (rules.length === 0) return new Map();
  const own = await listAuthorities(db, accountId);
  const uploaded = await uploadedAuthorities(db, accountId);
  const revoked = await revokedEntries(db, accountId, own);
  return new Map(
    rules.map(({ host, mode, forward, authorities }) => [
      host,
      {
        mode,
        forward: forward === 1,
        authorities: authorities.flatMap((id) =>
          id === MANAGED ? own.flatMap(trustedOf) : (uploaded.get(id) ?? []),
        ),
        revoked,
      },
    ]),
  );
}

/** Id → PEM, one certificate each. */
async function uploadedAuthorities(
  db: Database,
  accountId: string,
): Promise<ReadonlyMap<string, readonly string[]>> {
  const rows = await db
    .selectFrom("certificates as c")
    .innerJoin("certificateVersions as v", (join) =>
      join.onRef("v.certificateId", "=", "c.id").onRef("v.version", "=", "c.activeVersion"),
    )
    .select(["c.id", "v.chain"])
    .where("c.accountId", "=", accountId)
    .where("c.ca", "=", 1)
    .execute();
  return new Map(rows.map(({ id, chain }) => [id, certificatesIn(chain)]));
}

/** Every CA that an account has, PEM, one certificate each: one of them signed a revocation list. */
export async function everyAuthority(db: Database, accountId: string): Promise<readonly string[]> {
  const own = await listAuthorities(db, accountId);
  const uploaded = await uploadedAuthorities(db, accountId);
  const ofAccess = await db
    .selectFrom("accessAuthorities")
    .select("certificate")
    .where("accountId", "=", accountId)
    .execute();
  return [
    ...[...uploaded.values()].flat(),
    ...own.flatMap(trustedOf),
    ...ofAccess.flatMap(({ certificate }) => certificatesIn(certificate)),
  ];
}

function trustedOf({ state, root, chain }: IdentityAuthorityRow): readonly string[] {
  return state === "retired" ? [] : certificatesIn(`${root}\n${chain ?? ""}`);
}

function certificatesIn(pem: string): readonly string[] {
  return pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
}

/** What is revoked counts at hosts that only Access has a CA for, too. */
export async function revocationsOfAccount(
  db: Database,
  accountId: string,
): Promise<readonly string[]> {
  return revokedEntries(db, accountId, await listAuthorities(db, accountId));
}

async function revokedEntries(
  db: Database,
  accountId: string,
  own: readonly IdentityAuthorityRow[],
): Promise<readonly string[]> {
  const issuers = new Map(own.map(({ id, chain }) => [id, issuerName(chain)]));
  const issued = await listIssuedRevoked(db, accountId);
  const entries = await listClientRevocations(db, accountId);
  return [
    ...(await revokedByLists(db, accountId)),
    ...issued.map(({ serial, authorityId }) => entryOf(serial, issuers.get(authorityId) ?? null)),
    ...entries.map(
      ({ serial, issuer, fingerprint }) => fingerprint ?? entryOf(serial ?? "", issuer),
    ),
  ];
}

function entryOf(serial: string, issuer: string | null): string {
  return issuer === null ? serial : `${serial} ${issuer}`;
}

/** As the ingress reads it in what such a CA has issued. */
function issuerName(chain: string | null): string | null {
  return chain === null ? null : (new X509Certificate(chain).subject ?? null);
}
