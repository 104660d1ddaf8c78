import type { Untyped } from "./untyped.ts";

/** Which versions of a certificate were in force one after the other, so that a rollback knows. */
export async function activations(db: Untyped): Promise<void> {
  await db.schema
    .createTable("certificateActivations")
    .addColumn("certificateId", "text", (c) => c.notNull())
    .addColumn("sequence", "integer", (c) => c.notNull())
    .addColumn("version", "integer", (c) => c.notNull())
    .addPrimaryKeyConstraint("certificate_activations_key", ["certificateId", "sequence"])
    .addForeignKeyConstraint(
      "certificate_activations_version",
      ["certificateId", "version"],
      "certificateVersions",
      ["certificateId", "version"],
      (c) => c.onDelete("cascade"),
    )
    .execute();
  const told = await toldByAudit(db);
  const versions: { certificateId: string; version: number }[] = await db
    .selectFrom("certificateVersions")
    .select(["certificateId", "version"])
    .execute();
  const kept = new Set(versions.map(({ certificateId, version }) => `${certificateId} ${version}`));
  const certificates: { id: string; activeVersion: number }[] = await db
    .selectFrom("certificates")
    .select(["id", "activeVersion"])
    .execute();
  for (const { id, activeVersion } of certificates) {
    const history = (told.get(id) ?? [1]).filter((version) => kept.has(`${id} ${version}`));
    if (history.at(-1) !== activeVersion) history.push(activeVersion);
    const rows = history
      .slice(-50)
      .map((version, index) => ({ certificateId: id, sequence: index + 1, version }));
    await db.insertInto("certificateActivations").values(rows).execute();
  }
}

/** By certificate: what was in force, oldest first, without what a rollback has abandoned. */
async function toldByAudit(db: Untyped): Promise<Map<string, number[]>> {
  const histories = new Map<string, number[]>();
  const entries: { body: string }[] = await db
    .selectFrom("auditEntries")
    .select("body")
    .where("action", "in", ["certificate.version", "certificate.activate", "certificate.rollback"])
    .orderBy("sequence")
    .execute();
  for (const { body } of entries) {
    const { action, resource, before, after } = JSON.parse(body);
    const history = histories.get(resource.id) ?? [before.activeVersion];
    histories.set(resource.id, history);
    if (action === "certificate.rollback") {
      while (history.length > 0 && history.at(-1) !== after.activeVersion) history.pop();
    }
    if (history.at(-1) !== after.activeVersion) history.push(after.activeVersion);
  }
  return histories;
}
