import type { Database } from "./store.ts";

/**
 * Names of the scripts whose current deployment, or newest version, has a binding to the
 * certificate or service `target`.
 */
export async function scriptsThatBind(
  db: Database,
  accountId: string,
  type: "mtls_certificate" | "service",
  target: string,
): Promise<string[]> {
  const inUse = (versions: "deployed" | "newest") =>
    db
      .selectFrom("scripts as s")
      .innerJoin("scriptVersions as v", "v.scriptId", "s.id")
      .innerJoin("versionBindings as b", "b.versionId", "v.id")
      .select("s.name")
      .where("s.accountId", "=", accountId)
      .where("b.type", "=", type)
      .where("b.target", "=", target)
      .where((e) =>
        versions === "newest"
          ? e(
              "v.number",
              "=",
              e
                .selectFrom("scriptVersions as n")
                .select((n) => n.fn.max("n.number").as("number"))
                .whereRef("n.scriptId", "=", "s.id"),
            )
          : e.exists(
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
      );
  const rows = await inUse("deployed").union(inUse("newest")).execute();
  return rows.map((row) => row.name).toSorted();
}
