import type { Database } from "../database.ts";

/** How many a certificate's history keeps, the newest. */
const KEPT = 50;

/** Of a certificate that is new. */
export async function recordFirstActivation(
  db: Database,
  certificateId: string,
  version: number,
): Promise<void> {
  await db
    .insertInto("certificateActivations")
    .values({ certificateId, sequence: 1, version })
    .execute();
}

/** A version is in force from now on. */
export async function recordActivation(
  db: Database,
  certificateId: string,
  version: number,
): Promise<void> {
  const [last] = await listActivations(db, certificateId);
  if (last?.version === version) return;
  const sequence = (last?.sequence ?? 0) + 1;
  await db
    .insertInto("certificateActivations")
    .values({ certificateId, sequence, version })
    .execute();
  await db
    .deleteFrom("certificateActivations")
    .where("certificateId", "=", certificateId)
    .where("sequence", "<=", sequence - KEPT)
    .execute();
}

/** Newest first: the first is in force. */
export function listActivations(
  db: Database,
  certificateId: string,
): Promise<{ readonly sequence: number; readonly version: number }[]> {
  return db
    .selectFrom("certificateActivations")
    .select(["sequence", "version"])
    .where("certificateId", "=", certificateId)
    .orderBy("sequence", "desc")
    .execute();
}

/** Activations after `sequence` were a mistake: no rollback returns to them. */
export async function abandonActivations(
  db: Database,
  certificateId: string,
  sequence: number,
): Promise<void> {
  await db
    .deleteFrom("certificateActivations")
    .where("certificateId", "=", certificateId)
    .where("sequence", ">", sequence)
    .execute();
}
