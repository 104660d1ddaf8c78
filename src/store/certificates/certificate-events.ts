import type { CertificateEventRow } from "../schema.ts";
import type { Database } from "../database.ts";

/** The newer one of each kind stays. An event of a certificate that is gone is dropped. */
export async function recordEvent(db: Database, event: CertificateEventRow): Promise<void> {
  const { at, body } = event;
  await db
    .insertInto("certificateEvents")
    .columns(["certificateId", "kind", "at", "body"])
    .expression((e) =>
      e
        .selectFrom("certificates")
        .select((s) => [
          "id",
          s.val(event.kind).as("kind"),
          s.val(at).as("at"),
          s.val(body).as("body"),
        ])
        .where("id", "=", event.certificateId),
    )
    .onConflict((o) =>
      o
        .columns(["certificateId", "kind"])
        .doUpdateSet({ at, body })
        .where("certificateEvents.at", "<=", at),
    )
    .execute();
}

/** By certificate id. */
export async function lastEvents(
  db: Database,
  accountId: string,
): Promise<ReadonlyMap<string, readonly CertificateEventRow[]>> {
  const rows = await db
    .selectFrom("certificateEvents as e")
    .innerJoin("certificates as c", "c.id", "e.certificateId")
    .selectAll("e")
    .where("c.accountId", "=", accountId)
    .execute();
  return Map.groupBy(rows, ({ certificateId }) => certificateId);
}
