import { sql } from "kysely";
import type { Keyring } from "../../keys/seal.ts";
import type { Database } from "../database.ts";
import type { Store } from "../store.ts";
import { listAccounts } from "./accounts.ts";
import { auditOf } from "./audit.ts";
import { checkAudit, isWholeNow, openBase } from "./audit-check.ts";
import { guardNames } from "./guarded-rows.ts";

/**
 * Older versions did not log what guarded rows hold. This logs it for every row, once, and again
 * after an older version has run on the same data.
 * @returns false if all is logged, or if the log is broken: what it says of the rows is kept then
 */
export async function logRows(store: Store, keyring: Keyring): Promise<boolean> {
  // A store that is new: its first entry logs them.
  if ((await listAccounts(store.db)).length === 0) return false;
  const logged = await loggedGuards(store.db, keyring);
  const missing = guardNames.filter((name) => !logged.has(name));
  if (missing.length === 0) return false;
  if (!isWholeNow(await checkAudit(store.db, keyring))) return false;
  await store.write(async () => ({
    value: null,
    audit: {
      by: { kind: "system", id: null, email: "admin@localhost", address: null },
      action: "audit.rows",
      accountId: null,
      resource: { type: "audit_log", id: "rows" },
      logged: missing,
    },
  }));
  return true;
}

async function loggedGuards(db: Database, keyring: Keyring): Promise<Set<string>> {
  const base = await openBase(db, keyring);
  const older = await lastOlderEntry(db);
  const names = new Set(older === 0 ? base?.words.logged : []);
  for (const { sequence, logged = [] } of await auditOf(db, ["account.create", "audit.rows"])) {
    if (sequence > older) for (const name of logged) names.add(name);
  }
  return names;
}

/** Of a version that did not log rows. 0: there is none. */
async function lastOlderEntry(db: Database): Promise<number> {
  const row = await db
    .selectFrom("auditEntries")
    .select("sequence")
    .where(sql<boolean>`body not like '%"rows":[%'`)
    .orderBy("sequence", "desc")
    .limit(1)
    .executeTakeFirst();
  return row?.sequence ?? 0;
}
