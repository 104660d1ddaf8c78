import type { Untyped } from "./untyped.ts";

/** How a host proves to an ACME server that it is ours, where somebody chose. */
export async function acmeChallenge(db: Untyped): Promise<void> {
  await db.schema.alterTable("hostCertificates").addColumn("acmeChallenge", "text").execute();
}
