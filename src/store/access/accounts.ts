import { randomBytes } from "node:crypto";
import type { AccountLimits, AccountRow } from "../schema.ts";
import type { Database } from "../database.ts";
import { prepared } from "../prepared.ts";

export interface NewAccount {
  readonly name: string;
  /** A DNS label, unique among accounts. Null: none. */
  readonly subdomain: string | null;
  readonly now: Date;
}

/** The first account is the one whose scripts also answer at `{script}.localhost`. */
export async function createAccount(db: Database, account: NewAccount): Promise<AccountRow> {
  const first = (await db.selectFrom("accounts").select("id").limit(1).execute()).length === 0;
  const row: AccountRow = {
    id: randomBytes(16).toString("hex"),
    name: account.name,
    subdomain: account.subdomain,
    shortHosts: first ? 1 : 0,
    createdOn: account.now.toISOString(),
    limits: {},
    identityEnvironments: 0,
  };
  await db.insertInto("accounts").values(row).execute();
  return row;
}

export async function findAccount(db: Database, id: string): Promise<AccountRow | undefined> {
  const [row] = await byId(db, { id });
  return row;
}

const byId = prepared((db, { id }: { readonly id: string }) =>
  db.selectFrom("accounts").selectAll().where("id", "=", id),
);

export function listAccounts(db: Database): Promise<AccountRow[]> {
  return db.selectFrom("accounts").selectAll().orderBy("createdOn").orderBy("id").execute();
}

export function findSubdomain(db: Database, subdomain: string): Promise<AccountRow | undefined> {
  return db
    .selectFrom("accounts")
    .selectAll()
    .where("subdomain", "=", subdomain)
    .executeTakeFirst();
}

export async function setSubdomain(db: Database, id: string, subdomain: string): Promise<void> {
  await db.updateTable("accounts").set({ subdomain }).where("id", "=", id).execute();
}

export async function setIdentityEnvironments(
  db: Database,
  id: string,
  isOn: boolean,
): Promise<void> {
  await db
    .updateTable("accounts")
    .set({ identityEnvironments: Number(isOn) })
    .where("id", "=", id)
    .execute();
}

export async function setAccountLimits(
  db: Database,
  id: string,
  limits: AccountLimits,
): Promise<void> {
  await db.updateTable("accounts").set({ limits }).where("id", "=", id).execute();
}
