import { formerSecretPlace, secretPlace } from "../../keys/places.ts";
import type { Keyring, Sealed } from "../../keys/seal.ts";
import { listAccounts } from "../access/accounts.ts";
import { auditOf } from "../access/audit.ts";
import { auditFailure, checkAudit, isWholeNow, openBase } from "../access/audit-check.ts";
import type { Database } from "../database.ts";
import type { Store } from "../store.ts";
import { digestsNow } from "./version-content.ts";

export interface BoundSecrets {
  /** How many were sealed again. */
  readonly sealed: number;
  /** Those that do not open, as `worker/version/name`. */
  readonly damaged: readonly string[];
}

/**
 * In older databases, a version's secrets keep the seal of the version that they were copied from.
 * This seals each secret for its own version and name, and logs what every version consists of. It
 * runs once, and the audit log has an entry for it.
 * @returns null if it was done before, or if the log is broken: somebody may have removed the entry
 * to have exchanged secrets sealed as they are
 */
export async function bindSecrets(store: Store, keyring: Keyring): Promise<BoundSecrets | null> {
  if (await wereBound(store.db, keyring)) return null;
  // A store that is new: its first entry says that everything in it is bound.
  if ((await listAccounts(store.db)).length === 0) return null;
  const check = await checkAudit(store.db, keyring);
  if (!isWholeNow(check)) throw auditFailure(check);
  const { value } = await store.write(async ({ db }) => {
    const bound = await sealAnew(db, keyring);
    const versions: Record<string, string> = {};
    for await (const { id, digest } of digestsNow(db)) versions[id] = digest;
    return {
      value: bound,
      audit: {
        by: { kind: "system", id: null, email: "admin@localhost", address: null },
        action: "key.secrets",
        accountId: null,
        resource: { type: "secrets", id: "all" },
        after: { secretsBound: true, ...bound, versions },
      },
    };
  });
  return value;
}

async function wereBound(db: Database, keyring: Keyring): Promise<boolean> {
  const base = await openBase(db, keyring);
  if (base?.words.secretsBound === true) return true;
  const entries = await auditOf(db, ["account.create", "key.secrets"]);
  return entries.some(({ after }) => after?.["secretsBound"] === true);
}

async function sealAnew(db: Database, keyring: Keyring): Promise<BoundSecrets> {
  const rows = await db
    .selectFrom("versionBindings as b")
    .innerJoin("scriptVersions as v", "v.id", "b.versionId")
    .innerJoin("scripts as s", "s.id", "v.scriptId")
    .select(["s.accountId", "s.name as scriptName", "b.versionId", "b.name", "b.body"])
    .where("b.type", "=", "secret_text")
    .execute();
  const damaged: string[] = [];
  let sealed = 0;
  for (const { body, ...owner } of rows) {
    const { sealedId, ...binding } = JSON.parse(body) as FormerSecret;
    if (sealedId === undefined) continue;
    const place = secretPlace(owner);
    const open = textOf(keyring, binding.sealed, { ...owner, sealedId });
    if (open === null) damaged.push(place.id);
    else sealed += 1;
    const anew = open === null ? binding.sealed : keyring.seal(place, open);
    await db
      .updateTable("versionBindings")
      .set({ body: JSON.stringify({ ...binding, sealed: anew }) })
      .where("versionId", "=", owner.versionId)
      .where("name", "=", owner.name)
      .execute();
  }
  return { sealed, damaged };
}

interface FormerSecret {
  readonly sealed: Sealed;
  readonly sealedId?: string;
}

/** Null: it does not open, or was sealed for another Worker. */
function textOf(
  keyring: Keyring,
  sealed: Sealed,
  owner: { readonly accountId: string; readonly scriptName: string; readonly sealedId: string },
): string | null {
  const { accountId, scriptName, sealedId } = owner;
  if (!sealedId.startsWith(`${scriptName}/`)) return null;
  try {
    return keyring.unseal(formerSecretPlace(accountId, sealedId), sealed);
  } catch {
    return null;
  }
}
