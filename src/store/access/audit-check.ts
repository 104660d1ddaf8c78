import { auditBasePlace, auditHeadPlace } from "../../keys/places.ts";
import { Failure } from "../../failures/failures.ts";
import type { Keyring } from "../../keys/seal.ts";
import { listAccounts } from "./accounts.ts";
import {
  AT_ONCE,
  type AuditEntry,
  type AuditHead,
  auditRowsAfter,
  chained,
  readBase,
  readHead,
} from "./audit.ts";
import { LastWords, type LastLogged } from "./audit-state.ts";
import type { AuditEntryRow } from "../schema.ts";
import type { Database } from "../database.ts";

export interface AuditCheck {
  readonly entries: number;
  readonly head: AuditHead;
  /** How many of these retention has removed. Their last values for rows that matter were kept. */
  readonly removed: number;
  /** The first thing that is wrong, in a sentence. Null: the log is whole, and the rows are as it says. */
  readonly broken: string | null;
  /** What `broken` is about. Null: nothing is wrong. */
  readonly where: BrokenWhere | null;
}

/**
 * The log itself; a row that is not as it was logged last; or one that was so once, until the API
 * changed it.
 */
export type BrokenWhere = "log" | "rows" | "earlier rows";

/** What is wrong, in the words for it. @param check whose `broken` is not null */
export function auditFailure({ broken, where, head }: AuditCheck): Failure {
  if (where === "log") {
    return new Failure("audit_broken", { message: broken!, facts: { wholeUpTo: head } });
  }
  const end = `${head.sequence}:${head.hash}`;
  return new Failure("audit_rows_changed", {
    message: `${broken}. The log is whole, and ends at ${end}`,
    facts: { wholeUpTo: head },
  });
}

/** Nothing is wrong now. */
export function isWholeNow({ broken, where }: AuditCheck): boolean {
  return broken === null || where === "earlier rows";
}

const BEGINNING: AuditHead = { sequence: 0, hash: "0".repeat(64) };

export interface AuditBase extends AuditHead {
  readonly words: Partial<LastLogged>;
  /** Unix time in ms that retention last knew to be right. */
  readonly clock?: number;
}

/** From where on the log is there. Null: the record of it does not open. */
export async function openBase(db: Database, keyring: Keyring): Promise<AuditBase | null> {
  const stored = await readBase(db);
  if (!stored?.sealed) return { ...BEGINNING, words: {} };
  try {
    return JSON.parse(keyring.unseal(auditBasePlace, stored.sealed)) as AuditBase;
  } catch {
    return null;
  }
}

/**
 * Follows the chain of the audit log from its first entry, or from the sealed base where retention
 * has removed some, to the sealed head. It finds an entry that was changed, taken out, added or
 * moved, and an end that was cut off; then each revocation, list of allowed hosts, active version
 * or mode that differs from its last logged value, or did when an entry changed it. It cannot find that the whole database was put
 * back to an older state: for that, compare with a head that was noted elsewhere.
 *
 * @param noted a head that was seen before, which has to lie on the chain: what entries up to there
 * found changed is known
 */
export async function checkAudit(
  db: Database,
  keyring: Keyring,
  noted: AuditHead | null = null,
): Promise<AuditCheck> {
  const base = await openBase(db, keyring);
  if (base === null) {
    const broken = "the record of what retention removed was not written with this master key";
    return { entries: 0, removed: 0, head: BEGINNING, broken, where: "log" };
  }
  const words = new LastWords(base.words);
  let head: AuditHead = { sequence: base.sequence, hash: base.hash };
  let passed = noted === null || (noted.sequence === head.sequence && noted.hash === head.hash);
  const result = (broken: string | null, where: BrokenWhere = "log"): AuditCheck => ({
    entries: head.sequence,
    removed: base.sequence,
    head,
    broken,
    where: broken === null ? null : where,
  });
  if (noted !== null && noted.sequence > 0 && noted.sequence < base.sequence) {
    return result(
      `entry ${noted.sequence}, which was noted, has been removed by retention: entries up to ${base.sequence} are`,
    );
  }
  for (;;) {
    const rows = await auditRowsAfter(db, head.sequence, AT_ONCE);
    for (const row of rows) {
      const wrong = wrongIn(row, head);
      if (wrong !== null) return result(wrong);
      head = { sequence: row.sequence, hash: row.hash };
      words.hear(JSON.parse(row.body) as AuditEntry);
      if (noted?.sequence === row.sequence) {
        if (noted.hash !== row.hash) return result(`entry ${row.sequence} is not the one noted`);
        passed = true;
      }
    }
    if (rows.length < AT_ONCE) break;
  }
  const wrong = (await wrongAtEnd(db, keyring, head)) ?? (passed ? null : missing(noted));
  if (wrong !== null) return result(wrong);
  const contradicted = await words.contradicted(db);
  // The log changed while it was read, so the rows may belong to later entries.
  if (contradicted !== null && (await readHead(db))?.sequence !== head.sequence) {
    return checkAudit(db, keyring, noted);
  }
  if (contradicted !== null) return result(contradicted, "rows");
  return result(words.earlierChange(noted?.sequence ?? 0), "earlier rows");
}

export function wrongIn(row: AuditEntryRow, before: AuditHead): string | null {
  const expected = before.sequence + 1;
  if (row.sequence !== expected) {
    const last = row.sequence - 1;
    return expected === last
      ? `entry ${expected} is missing`
      : `entries ${expected} to ${last} are missing`;
  }
  if (chained(before.hash, row.body) !== row.hash) return `entry ${row.sequence} was changed`;
  const entry = JSON.parse(row.body) as AuditEntry;
  const same =
    entry.sequence === row.sequence &&
    entry.id === row.id &&
    entry.accountId === row.accountId &&
    entry.at === row.at &&
    entry.action === row.action &&
    entry.by.email === row.email;
  return same ? null : `a column of entry ${row.sequence} was changed`;
}

async function wrongAtEnd(db: Database, keyring: Keyring, last: AuditHead): Promise<string | null> {
  const stored = await readHead(db);
  if (!stored) return "the record of where the log ends is missing";
  if (stored.sealed === null) {
    const untouched = last.sequence === 0 && (await listAccounts(db)).length === 0;
    return untouched ? null : "the record of where the log ends is not sealed";
  }
  let sealed: AuditHead;
  try {
    sealed = JSON.parse(keyring.unseal(auditHeadPlace, stored.sealed)) as AuditHead;
  } catch {
    return "the record of where the log ends was not written with this master key";
  }
  if (sealed.sequence > last.sequence) return missingAfter(last.sequence, sealed.sequence);
  if (sealed.sequence < last.sequence) {
    return `entries after ${sealed.sequence} were added by somebody without the master key`;
  }
  if (sealed.hash !== last.hash) return "the whole log was rewritten";
  const consistent = stored.sequence === sealed.sequence && stored.hash === sealed.hash;
  return consistent ? null : "the record of where the log ends was changed";
}

function missingAfter(last: number, sealed: number): string {
  return `the log ends at entry ${last}, but ${sealed} were written`;
}

function missing(noted: AuditHead | null): string {
  return `entry ${noted?.sequence}, which was noted, is missing`;
}
