import type { Database } from "../database.ts";

/** Bindings of what Workers keep. */
export type StoredType = "kv_namespace" | "d1" | "r2_bucket" | "queue";

/**
 * Names of the scripts whose current deployment, or newest version, has a binding to the
 * certificate, service, Hyperdrive configuration or other script's objects `target`.
 */
export async function scriptsThatBind(
  db: Database,
  accountId: string,
  type: "mtls_certificate" | "service" | "hyperdrive" | "durable_object_namespace" | StoredType,
  target: string,
): Promise<string[]> {
  const rows = await bindingsInUse(db, accountId, type).where("b.target", "=", target).execute();
  return [...new Set(rows.map(({ name }) => name))].toSorted();
}

/** Names of those among them whose binding of the certificate is `in-process`. */
export async function scriptsInProcess(
  db: Database,
  accountId: string,
  certificateId: string,
): Promise<readonly string[]> {
  const rows = await bindingsInUse(db, accountId, "mtls_certificate")
    .innerJoin("bindingModes as bm", (join) =>
      join.onRef("bm.scriptId", "=", "s.id").onRef("bm.name", "=", "b.name"),
    )
    .where("bm.mode", "=", "in-process")
    .where("b.target", "=", certificateId)
    .execute();
  return [...new Set(rows.map(({ name }) => name))].toSorted();
}

/** Certificate id → names of the scripts whose current deployment, or newest version, binds it. */
export async function boundCertificates(
  db: Database,
  accountId: string,
): Promise<ReadonlyMap<string, readonly string[]>> {
  const bound = new Map<string, string[]>();
  for (const { name, target } of await bindingsInUse(db, accountId, "mtls_certificate").execute()) {
    const names = bound.get(target ?? "") ?? [];
    if (!names.includes(name)) bound.set(target ?? "", [...names, name].toSorted());
  }
  return bound;
}

/** Queue's name → names of the scripts whose current deployment, or newest version, sends to it. */
export async function boundQueues(
  db: Database,
  accountId: string,
): Promise<ReadonlyMap<string, readonly string[]>> {
  const bound = new Map<string, string[]>();
  for (const { name, target } of await bindingsInUse(db, accountId, "queue").execute()) {
    const names = bound.get(target ?? "") ?? [];
    if (!names.includes(name)) bound.set(target ?? "", [...names, name].toSorted());
  }
  return bound;
}

const bindingsInUse = (db: Database, accountId: string, type: string) =>
  db
    .selectFrom("scripts as s")
    .innerJoin("scriptVersions as v", "v.scriptId", "s.id")
    .innerJoin("versionBindings as b", "b.versionId", "v.id")
    .select(["s.name", "b.target"])
    .where("s.accountId", "=", accountId)
    .where("b.type", "=", type)
    .where((e) =>
      e.or([
        e(
          "v.number",
          "=",
          e
            .selectFrom("scriptVersions as n")
            .select((n) => n.fn.max("n.number").as("number"))
            .whereRef("n.scriptId", "=", "s.id"),
        ),
        e.exists(
          e
            .selectFrom("deploymentVersions as dv")
            .innerJoin("deployments as d", "d.id", "dv.deploymentId")
            .select("dv.versionId")
            .whereRef("dv.versionId", "=", "v.id")
            .where((d) =>
              d(
                "d.number",
                "=",
                d
                  .selectFrom("deployments as m")
                  .select((m) => m.fn.max("m.number").as("number"))
                  .whereRef("m.scriptId", "=", "s.id"),
              ),
            ),
        ),
      ]),
    );
