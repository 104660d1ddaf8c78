import { createHash } from "node:crypto";
import type { Database } from "../database.ts";
import type { SecondFactorRow } from "../schema.ts";

export function findSecondFactor(
  db: Database,
  userId: string,
): Promise<SecondFactorRow | undefined> {
  return db.selectFrom("secondFactors").selectAll().where("userId", "=", userId).executeTakeFirst();
}

/** Replaces one that there was. Nothing is asked for before it is confirmed. */
export async function setSecondFactor(
  db: Database,
  { userId, sealedSecret }: Pick<SecondFactorRow, "userId" | "sealedSecret">,
): Promise<void> {
  await deleteSecondFactor(db, userId);
  await db
    .insertInto("secondFactors")
    .values({ userId, sealedSecret, confirmedOn: null, lastStep: 0 })
    .execute();
}

/** @returns whether there was one */
export async function deleteSecondFactor(db: Database, userId: string): Promise<boolean> {
  await db.deleteFrom("recoveryCodes").where("userId", "=", userId).execute();
  const { numDeletedRows } = await db
    .deleteFrom("secondFactors")
    .where("userId", "=", userId)
    .executeTakeFirst();
  return numDeletedRows > 0n;
}

/** From now on it is asked for at each sign-in. Codes are kept as SHA-256: they are random. */
export async function confirmSecondFactor(
  db: Database,
  userId: string,
  { step, codes, now }: { step: number; codes: readonly string[]; now: Date },
): Promise<void> {
  await db
    .updateTable("secondFactors")
    .set({ confirmedOn: now.toISOString(), lastStep: step })
    .where("userId", "=", userId)
    .execute();
  const rows = codes.map((code) => ({ userId, hash: hashOf(code) }));
  await db.insertInto("recoveryCodes").values(rows).execute();
}

/** @returns false if a code of this time, or of a later one, was used before */
export async function useStep(db: Database, userId: string, step: number): Promise<boolean> {
  const { numUpdatedRows } = await db
    .updateTable("secondFactors")
    .set({ lastStep: step })
    .where("userId", "=", userId)
    .where("lastStep", "<", step)
    .executeTakeFirst();
  return numUpdatedRows > 0n;
}

/** @returns false if it is none of the person's, or was used before */
export async function useRecoveryCode(
  db: Database,
  userId: string,
  code: string,
): Promise<boolean> {
  const { numDeletedRows } = await db
    .deleteFrom("recoveryCodes")
    .where("userId", "=", userId)
    .where("hash", "=", hashOf(code))
    .executeTakeFirst();
  return numDeletedRows > 0n;
}

function hashOf(code: string): string {
  return createHash("sha256").update(code).digest("hex");
}
