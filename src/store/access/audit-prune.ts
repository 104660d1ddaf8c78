import { auditBasePlace } from "../../keys/places.ts";
import type { Keyring } from "../../keys/seal.ts";
import { Failure } from "../../failures/failures.ts";
import { type Actor, type AuditHead, auditRowsAfter } from "./audit.ts";
import { openBase, wrongIn } from "./audit-check.ts";
import { LastWords } from "./audit-state.ts";
import type { AuditEntry } from "./audit.ts";
import type { Store } from "../store.ts";

const AT_ONCE = 1000;

/**
 * Removes the entries from the beginning of the log up to `before`, if the chain holds so far. The
 * start of the rest, and the last values from the removed entries, are sealed; `audit verify`
 * continues from there. The removal is an entry of its own.
 * @returns how many were removed
 * @throws Failure `audit_broken`: nothing was removed
 */
export async function pruneAudit(store: Store, keyring: Keyring, before: Date): Promise<number> {
  const by: Actor = { kind: "system", id: null, email: "admin@localhost", address: null };
  const { value } = await store.write(async ({ db }) => {
    const base = await openBase(db, keyring);
    if (base === null) {
      throw new Failure("audit_broken", {
        message: "the record of what retention removed was not written with this master key",
      });
    }
    const words = new LastWords(base.words);
    let last: AuditHead = { sequence: base.sequence, hash: base.hash };
    let isOlder = true;
    while (isOlder) {
      const rows = await auditRowsAfter(db, last.sequence, AT_ONCE);
      for (const row of rows) {
        isOlder = row.at < before.toISOString();
        if (!isOlder) break;
        const wrong = wrongIn(row, last);
        if (wrong !== null) throw new Failure("audit_broken", { message: wrong });
        words.hear(JSON.parse(row.body) as AuditEntry);
        last = { sequence: row.sequence, hash: row.hash };
      }
      if (rows.length < AT_ONCE) break;
    }
    const removed = last.sequence - base.sequence;
    if (removed === 0) return { value: 0, audit: null };
    await db.deleteFrom("auditEntries").where("sequence", "<=", last.sequence).execute();
    const sealed = keyring.seal(auditBasePlace, JSON.stringify({ ...last, words }));
    await db
      .insertInto("auditHeads")
      .values({ id: auditBasePlace.id, ...last, sealed })
      .onConflict((o) => o.column("id").doUpdateSet({ ...last, sealed }))
      .execute();
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
