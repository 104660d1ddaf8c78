import { randomBytes } from "node:crypto";
import type { AccountRow, MembershipRow, UserRow } from "../schema.ts";
import type { Database } from "../database.ts";

export interface NewUser {
  /** Lower case. */
  readonly email: string;
  readonly passwordHash: string;
  readonly now: Date;
}

export async function createUser(db: Database, user: NewUser): Promise<UserRow> {
  const createdOn = user.now.toISOString();
  const row: UserRow = {
    id: randomBytes(16).toString("hex"),
    email: user.email,
    passwordHash: user.passwordHash,
    createdOn,
    updatedOn: createdOn,
  };
  await db.insertInto("users").values(row).execute();
  return row;
}

export function findUser(db: Database, id: string): Promise<UserRow | undefined> {
  return db.selectFrom("users").selectAll().where("id", "=", id).executeTakeFirst();
}

export function findUserByEmail(db: Database, email: string): Promise<UserRow | undefined> {
  return db
    .selectFrom("users")
    .selectAll()
    .where("email", "=", email.toLowerCase())
    .executeTakeFirst();
}

export interface Member extends MembershipRow {
  readonly email: string;
  readonly accountName: string;
}

/** Who belongs to which account, by e-mail address. */
export function listMembers(db: Database): Promise<Member[]> {
  return db
    .selectFrom("memberships as m")
    .innerJoin("users as u", "u.id", "m.userId")
    .innerJoin("accounts as a", "a.id", "m.accountId")
    .selectAll("m")
    .select(["u.email", "a.name as accountName"])
    .orderBy("u.email")
    .orderBy("a.createdOn")
    .execute();
}

/** Oldest account first. */
export function membershipsOf(
  db: Database,
  userId: string,
): Promise<(MembershipRow & { readonly account: Pick<AccountRow, "name"> })[]> {
  return db
    .selectFrom("memberships as m")
    .innerJoin("accounts as a", "a.id", "m.accountId")
    .selectAll("m")
    .select("a.name as accountName")
    .where("m.userId", "=", userId)
    .orderBy("a.createdOn")
    .orderBy("a.id")
    .execute()
    .then((rows) =>
      rows.map(({ accountName, ...membership }) => ({
        ...membership,
        account: { name: accountName },
      })),
    );
}

/** Makes the person a member of the account, or changes the role there. */
export async function setMembership(
  db: Database,
  { userId, accountId, role, createdOn }: MembershipRow,
): Promise<void> {
  await db
    .insertInto("memberships")
    .values({ userId, accountId, role, createdOn })
    .onConflict((o) => o.columns(["userId", "accountId"]).doUpdateSet({ role }))
    .execute();
}

export async function deleteMembership(
  db: Database,
  { userId, accountId }: Pick<MembershipRow, "userId" | "accountId">,
): Promise<void> {
  await db
    .deleteFrom("memberships")
    .where("userId", "=", userId)
    .where("accountId", "=", accountId)
    .execute();
}

/** With the person's memberships and tokens. */
export async function deleteUser(db: Database, id: string): Promise<void> {
  // The audit log sees what queries remove, not what foreign keys remove.
  for (const table of ["memberships", "tokens", "secondFactors"] as const) {
    await db.deleteFrom(table).where("userId", "=", id).execute();
  }
  await db.deleteFrom("users").where("id", "=", id).execute();
}

export async function setPassword(
  db: Database,
  id: string,
  { passwordHash, now }: { passwordHash: string; now: Date },
): Promise<void> {
  await db
    .updateTable("users")
    .set({ passwordHash, updatedOn: now.toISOString() })
    .where("id", "=", id)
    .execute();
}
