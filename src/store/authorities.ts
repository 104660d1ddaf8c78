import type { AuthorityTieRow } from "./schema.ts";
import type { SpiffeAuthority } from "../contract/change-feed.ts";
import type { Database } from "./database.ts";
import { prepared } from "./prepared.ts";

/** The CAs (PEM) that count for every origin of the account. */
export async function accountAuthorities(db: Database, accountId: string): Promise<string[]> {
  return (await ofAccount(db, { accountId })).map(({ chain }) => chain);
}

/** The CAs (PEM) that alone verify the origins of a certificate. Empty: it has none of its own. */
export async function authoritiesOfCertificate(
  db: Database,
  certificateId: string,
): Promise<string[]> {
  return (await ofCertificate(db, { certificateId })).map(({ chain }) => chain);
}

/** Host (or `*.example.com`) → the CAs (PEM) that count there beside the account's. */
export async function authoritiesOfHosts(
  db: Database,
  accountId: string,
): Promise<Record<string, string[]>> {
  const rows = await authorities(db)
    .innerJoin("authorityTies as t", "t.authorityId", "c.id")
    .select(["t.host", "v.chain"])
    .where("c.accountId", "=", accountId)
    .where("t.host", "is not", null)
    .where("t.spiffeIds", "is", null)
    .execute();
  const hosts = Map.groupBy(rows, ({ host }) => host ?? "");
  return Object.fromEntries([...hosts].map(([host, of]) => [host, of.map(({ chain }) => chain)]));
}

/** Host (or `*.example.com`) → the CAs that alone verify its servers there, and by which SPIFFE IDs. */
export async function spiffeAuthorities(
  db: Database,
  accountId: string,
): Promise<Record<string, SpiffeAuthority[]>> {
  const rows = await authorities(db)
    .innerJoin("authorityTies as t", "t.authorityId", "c.id")
    .select(["t.host", "t.spiffeIds", "v.chain"])
    .where("c.accountId", "=", accountId)
    .where("t.spiffeIds", "is not", null)
    .execute();
  const hosts = Map.groupBy(rows, ({ host }) => host ?? "");
  return Object.fromEntries(
    [...hosts].map(([host, of]) => [
      host,
      of.map(({ chain, spiffeIds }) => ({
        authority: chain,
        ids: spiffeIds ?? [],
      })),
    ]),
  );
}

export function listTies(db: Database, accountId: string): Promise<AuthorityTieRow[]> {
  return db
    .selectFrom("authorityTies")
    .selectAll()
    .where("accountId", "=", accountId)
    .orderBy("host")
    .orderBy("certificateId")
    .execute();
}

export function tiesOf(db: Database, authorityId: string): Promise<AuthorityTieRow[]> {
  return db
    .selectFrom("authorityTies")
    .selectAll()
    .where("authorityId", "=", authorityId)
    .orderBy("host")
    .orderBy("certificateId")
    .execute();
}

export async function replaceTies(
  db: Database,
  authorityId: string,
  ties: readonly AuthorityTieRow[],
): Promise<void> {
  await db.deleteFrom("authorityTies").where("authorityId", "=", authorityId).execute();
  if (ties.length > 0) await db.insertInto("authorityTies").values(ties).execute();
}

/** Each CA with its active version. */
const authorities = (db: Database) =>
  db
    .selectFrom("certificates as c")
    .innerJoin("certificateVersions as v", (join) =>
      join.onRef("v.certificateId", "=", "c.id").onRef("v.version", "=", "c.activeVersion"),
    )
    .where("c.ca", "=", 1)
    .orderBy("c.uploadedOn")
    .orderBy("c.id");

const ofAccount = prepared((db, { accountId }: { readonly accountId: string }) =>
  authorities(db).select("v.chain").where("c.accountId", "=", accountId).where("c.tied", "=", 0),
);

const ofCertificate = prepared((db, { certificateId }: { readonly certificateId: string }) =>
  authorities(db)
    .innerJoin("authorityTies as t", "t.authorityId", "c.id")
    .select("v.chain")
    .where("t.certificateId", "=", certificateId),
);
