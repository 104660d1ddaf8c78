import { auditBasePlace } from "../../keys/places.ts";
import type { Keyring } from "../../keys/seal.ts";
import { Failure } from "../../failures/failures.ts";
import { AT_ONCE, type Actor, type AuditHead, auditRowsAfter } from "./audit.ts";
import { type AuditBase, openBase, wrongIn } from "./audit-check.ts";
import { LastWords } from "./audit-state.ts";
import type { AuditEntry } from "./audit.ts";
import type { Database } from "../database.ts";
import type { AuditEntryRow } from "../schema.ts";
import type { Store } from "../store.ts";

/**
 * Removes the entries from the beginning of the log up to `before`, if the chain holds so far. The
 * start of the rest, and the last values from the removed entries, are sealed; `audit verify`
 * continues from there. The removal is an entry of its own. An entry that is later than `now` was
 * written by a clock that was ahead: it goes with the first older one that follows it.
 * @returns how many were removed
 * @throws Failure `audit_broken`: nothing was removed
 */
export async function pruneAudit(
  store: Store,
  keyring: Keyring,
  before: Date,
  now: Date = new Date(),
): Promise<number> {
  const by: Actor = { kind: "system", id: null, email: "admin@localhost", address: null };
  const { value } = await store.write(async ({ db }) => {
    const base = await baseOf(db, keyring);
    const words = new LastWords(base.words);
    let last: AuditHead = { sequence: base.sequence, hash: base.hash };
    let read = last;
    let ahead: AuditEntryRow[] = [];
    let goesOn = true;
    while (goesOn) {
      const rows = await auditRowsAfter(db, read.sequence, AT_ONCE);
      goesOn = rows.length === AT_ONCE;
      for (const row of rows) {
        const isOlder = row.at < before.toISOString();
        if (!isOlder && row.at <= now.toISOString()) {
          goesOn = false;
          break;
        }
        const wrong = wrongIn(row, read);
        if (wrong !== null) throw new Failure("audit_broken", { message: wrong });
        read = { sequence: row.sequence, hash: row.hash };
        ahead.push(row);
        if (!isOlder) continue;
        for (const { body } of ahead) words.hear(JSON.parse(body) as AuditEntry);
        ahead = [];
        last = read;
      }
    }
    const removed = last.sequence - base.sequence;
    if (removed === 0) return { value: 0, audit: null };
    await db.deleteFrom("auditEntries").where("sequence", "<=", last.sequence).execute();
    await putBase(db, keyring, { ...base, ...last, words: words.toJSON() });
    return {
      value: removed,
      audit: {
        by,
        action: "audit.prune",
        accountId: null,
        resource: { type: "audit_log", id: String(last.sequence) },
        after: { removed, upTo: last.sequence, before: before.toISOString() },
      },
    };
  });
  return value;
}

/**
 * The last time that was known to be right. Where none is, the newest entry's, which is not later.
 * @returns Unix time in ms
 * @throws Failure `audit_broken`
 */
export async function notedClock(db: Database, keyring: Keyring): Promise<number> {
  const { clock } = await baseOf(db, keyring);
  if (clock !== undefined) return clock;
  const newest = await db
    .selectFrom("auditEntries")
    .select("at")
    .orderBy("sequence", "desc")
    .limit(1)
    .executeTakeFirst();
  return newest === undefined ? 0 : Date.parse(newest.at);
}

/** @param now Unix time in ms that is known to be right. @throws Failure `audit_broken` */
export async function noteClock(store: Store, keyring: Keyring, now: number): Promise<void> {
  await store.housekeep(async ({ db }) => {
    await putBase(db, keyring, { ...(await baseOf(db, keyring)), clock: now });
  });
}

async function baseOf(db: Database, keyring: Keyring): Promise<AuditBase> {
  const base = await openBase(db, keyring);
  if (base !== null) return base;
  throw new Failure("audit_broken", {
    message: "the record of what retention removed was not written with this master key",
  });
}

async function putBase(db: Database, keyring: Keyring, base: AuditBase): Promise<void> {
  const { sequence, hash } = base;
  const row = { sequence, hash, sealed: keyring.seal(auditBasePlace, JSON.stringify(base)) };
  await db
    .insertInto("auditHeads")
    .values({ id: auditBasePlace.id, ...row })
    .onConflict((o) => o.column("id").doUpdateSet(row))
    .execute();
}
