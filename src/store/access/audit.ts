import { createHash, randomUUID } from "node:crypto";
import { auditBasePlace, auditHeadPlace } from "../../keys/places.ts";
import type { Keyring, Sealed } from "../../keys/seal.ts";
import type { AuditEntryRow } from "../schema.ts";
import type { Database } from "../database.ts";
import { kept, ShownValues } from "./audit-sizes.ts";
import { guards, type LoggedRow, nameOf, rowsNow } from "./guarded-rows.ts";

/** Who acts, and from where. */
export interface Actor {
  /** `admin`: the owner of the data folder. `system`: Countersign itself. */
  readonly kind: "user" | "token" | "admin" | "system";
  /** Of the person or token. Null for the other two. */
  readonly id: string | null;
  readonly email: string;
  /** IP address. Null: it came from this machine, not over the network. */
  readonly address: string | null;
}

export type AuditAction =
  | `access.${string}`
  | `account.${"limits" | "create" | "subdomain"}`
  | "assets.upload"
  | `authority.${"upload" | "delete"}`
  | `certificate.${string}`
  | `deployment.${"create" | "delete"}`
  | `client.${string}`
  | `hyperdrive.${"create" | "update" | "delete"}`
  | `identity.${string}`
  | `key.${string}`
  | `login.${"grant" | "token" | "revoke"}`
  | `policy.${"set" | "delete"}`
  | `routes.${"replace" | "create" | "delete"}`
  | `script.${"binding" | "delete" | "settings" | "subdomain" | "domains" | "schedules"}`
  | `token.${"create" | "update" | "roll" | "delete"}`
  | `trust.${string}`
  | `user.${"create" | "remove" | "password" | "role" | "session" | "factor"}`
  | `workflow.${"update" | "delete"}`
  | "version.create"
  | `audit.${"prune" | "rows"}`
  | `zone.${"create" | "delete" | "settings"}`
  | `host.${string}`
  | `storage.${"create" | "change" | "delete" | "purge"}`
  | `webhook.${"set" | "delete"}`;

/** What is logged about one change. Never a key, a secret, a password or a token. */
export interface Audit {
  readonly by: Actor;
  readonly action: AuditAction;
  /** Null: about the platform, not one account. */
  readonly accountId: string | null;
  readonly resource: {
    readonly type: string;
    readonly id: string;
    readonly name?: string | null;
  };
  /** SHA-256 of the certificate it is about, as `certificate show` has it. */
  readonly fingerprint?: string;
  readonly before?: Readonly<Record<string, unknown>>;
  readonly after?: Readonly<Record<string, unknown>>;
  /** Guards of which the entry logs every row: see `guardNames`. */
  readonly logged?: readonly string[];
}

/** An entry of the log as it was written. */
export interface AuditEntry extends Audit {
  readonly sequence: number;
  /** UUID. */
  readonly id: string;
  /** ISO 8601, UTC. */
  readonly at: string;
  /** What the guarded rows hold that were changed. Absent: an older version wrote the entry. */
  readonly rows?: readonly LoggedRow[];
}

/** The end of the log. Noted elsewhere, it proves later that nothing up to it was changed. */
export interface AuditHead {
  readonly sequence: number;
  readonly hash: string;
}

/** Writes an entry at the end of the log, chained to the one before. */
export async function appendAudit(
  db: Database,
  keyring: Keyring | null,
  audit: Audit,
  changed: readonly LoggedRow[] = [],
): Promise<void> {
  if (!keyring) throw new Error("the audit log has no master key to be sealed with");
  // The update takes the row's lock before it is read: entries are chained one after the other.
  const before = await db
    .updateTable("auditHeads")
    .set((e) => ({ sequence: e("sequence", "+", 1) }))
    .where("id", "=", auditHeadPlace.id)
    .returning(["sequence", "hash"])
    .executeTakeFirstOrThrow();
  const { sequence } = before;
  const entry: AuditEntry = {
    sequence,
    id: randomUUID(),
    at: new Date().toISOString(),
    ...kept(audit),
    rows: audit.logged ? await allRows(db, audit.logged) : changed,
  };
  const body = JSON.stringify(entry);
  const hash = chained(before.hash, body);
  const { id, accountId, at, action, by } = entry;
  await db
    .insertInto("auditEntries")
    .values({ sequence, id, accountId, at, action, email: by.email, body, hash })
    .execute();
  const sealed = keyring.seal(
    auditHeadPlace,
    JSON.stringify({ sequence, hash } satisfies AuditHead),
  );
  await db
    .updateTable("auditHeads")
    .set({ hash, sealed })
    .where("id", "=", auditHeadPlace.id)
    .execute();
}

async function allRows(db: Database, names: readonly string[]): Promise<LoggedRow[]> {
  const all: LoggedRow[] = [];
  for (const guarded of guards.filter((one) => names.includes(nameOf(one)))) {
    for (const [key, digest] of await rowsNow(db, guarded)) all.push([guarded.table, key, digest]);
  }
  return all;
}

export function chained(previousHash: string, body: string): string {
  return createHash("sha256").update(`${previousHash}\n${body}`).digest("hex");
}

/** The entries of a few actions, oldest first. */
export async function auditOf(
  db: Database,
  actions: readonly AuditAction[],
): Promise<AuditEntry[]> {
  const rows = await db
    .selectFrom("auditEntries")
    .select("body")
    .where("action", "in", actions)
    .orderBy("sequence")
    .execute();
  return rows.map(entryOf);
}

export interface AuditFilter {
  /** Undefined: of every account. */
  readonly accountId?: string;
  readonly action?: string;
  readonly email?: string;
  /** ISO 8601, both inclusive. */
  readonly since?: string;
  readonly before?: string;
  /** From the oldest on. Default: from the newest. */
  readonly oldestFirst?: boolean;
  readonly limit: number;
  readonly offset?: number;
}

export interface AuditPage {
  readonly entries: readonly AuditEntry[];
  readonly total: number;
}

export async function listAudit(db: Database, filter: AuditFilter): Promise<AuditPage> {
  const { accountId, action, email, since, before } = filter;
  let query = db.selectFrom("auditEntries");
  if (accountId !== undefined) query = query.where("accountId", "=", accountId);
  if (action !== undefined) query = query.where("action", "=", action);
  if (email !== undefined) query = query.where("email", "=", email);
  if (since !== undefined) query = query.where("at", ">=", since);
  if (before !== undefined) query = query.where("at", "<=", before);
  const { total } = await query
    .select((e) => e.fn.countAll<number | string>().as("total"))
    .executeTakeFirstOrThrow();
  const order = filter.oldestFirst ? "asc" : "desc";
  const found = await query
    .select("sequence")
    .orderBy("sequence", order)
    .limit(filter.limit)
    .offset(filter.offset ?? 0)
    .execute();
  const entries: AuditEntry[] = [];
  const shown = new ShownValues();
  // Entries may be long, also those that an older version has written.
  for (let at = 0; at < found.length; at += AT_ONCE) {
    const sequences = found.slice(at, at + AT_ONCE).map(({ sequence }) => sequence);
    const rows = await db
      .selectFrom("auditEntries")
      .select("body")
      .where("sequence", "in", sequences)
      .orderBy("sequence", order)
      .execute();
    for (const row of rows) entries.push(shown.of(shownOf(row)));
  }
  return { entries, total: Number(total) };
}

/** How many entries are read together. */
export const AT_ONCE = 50;

/** In order, at most `limit`. */
export function auditRowsAfter(
  db: Database,
  sequence: number,
  limit: number,
): Promise<AuditEntryRow[]> {
  return db
    .selectFrom("auditEntries")
    .selectAll()
    .where("sequence", ">", sequence)
    .orderBy("sequence")
    .limit(limit)
    .execute();
}

export function readHead(
  db: Database,
): Promise<(AuditHead & { readonly sealed: Sealed | null }) | undefined> {
  return db
    .selectFrom("auditHeads")
    .select(["sequence", "hash", "sealed"])
    .where("id", "=", auditHeadPlace.id)
    .executeTakeFirst();
}

/** The last entry that retention has removed. Undefined: none was. */
export function readBase(db: Database): Promise<{ readonly sealed: Sealed | null } | undefined> {
  return db
    .selectFrom("auditHeads")
    .select(["sealed"])
    .where("id", "=", auditBasePlace.id)
    .executeTakeFirst();
}

/** The same base, wrapped by another master key. */
export async function replaceBase(db: Database, sealed: Sealed): Promise<void> {
  await db.updateTable("auditHeads").set({ sealed }).where("id", "=", auditBasePlace.id).execute();
}

/** The same end, wrapped by another master key. */
export async function replaceHead(db: Database, sealed: Sealed): Promise<void> {
  await db.updateTable("auditHeads").set({ sealed }).where("id", "=", auditHeadPlace.id).execute();
}

function entryOf({ body }: Pick<AuditEntryRow, "body">): AuditEntry {
  return JSON.parse(body) as AuditEntry;
}

/** What rows hold is for `audit verify` alone. */
function shownOf(row: Pick<AuditEntryRow, "body">): AuditEntry {
  const { rows: _, logged: __, ...entry } = entryOf(row);
  return entry;
}
