import { createHash } from "node:crypto";
import { LONGEST_LIST, readSignedList } from "../../certificates/signed-revocation-list.ts";
import { Failure } from "../../failures/failures.ts";
import type { Outbound } from "../../network/outbound.ts";
import type { Actor } from "../../store/access/audit.ts";
import { everyAuthority } from "../../store/hosts/host-clients.ts";
import {
  findRevocationList,
  listRevocationLists,
  putRevocationList,
  updateRevocationList,
} from "../../store/hosts/revocation-lists.ts";
import type { RevocationListRow } from "../../store/schema.ts";
import { applyChange } from "../api/apply-change.ts";
import type { ControlContext } from "../api/context.ts";

export type ListContext = Pick<ControlContext, "store" | "edge" | "outbound" | "clock" | "log">;

/** The content of all lists is sent to the ingress when one changes, so their number is bounded. */
const MOST_LISTS = 10;
const MOST_ENTRIES = 10_000;
const FETCH_TIMEOUT = 10_000;
/** ms */
const FIRST_RETRY = 60_000;
const MINUTE = 60_000;

/** The row that a list is stored in. */
export type WantedList = Pick<RevocationListRow, "id" | "accountId" | "url" | "interval">;

/**
 * Fetches a list, under the address policy.
 * @throws Failure `revocation_list_unreachable`; the reason goes to the log only, because it would reveal which servers
 * listen in the network
 */
export async function fetchList(
  url: string,
  { outbound }: { readonly outbound: Outbound },
): Promise<Uint8Array> {
  const answer = await outbound
    .send(url, { method: "GET", timeout: FETCH_TIMEOUT, maxBytes: LONGEST_LIST })
    .catch((cause: unknown) => {
      throw new Failure("revocation_list_unreachable", { cause });
    });
  if (answer.status === 200) return answer.body;
  const cause = new Error(`it answered with status ${answer.status}`);
  throw new Failure("revocation_list_unreachable", { cause });
}

/**
 * Reads a list and replaces the previous one, in force on return.
 * @throws Failure `revocation_list_invalid`, `revocation_list_unknown`; the previous list stays
 */
export async function takeList(
  { store, edge, clock }: ListContext,
  wanted: WantedList,
  bytes: Uint8Array,
  by: { readonly actor: Actor; readonly isNew: boolean },
): Promise<RevocationListRow> {
  const now = clock();
  const { accountId, id } = wanted;
  const hash = createHash("sha256").update(bytes).digest("hex");
  const known = await findRevocationList(store.db, accountId, id);
  if (known?.hash === hash && !by.isNew) return unchanged({ store }, known, now);
  const authorities = await everyAuthority(store.db, accountId);
  const list = await readSignedList(bytes, { authorities, now });
  return applyChange({ store, edge }, async ({ db, changed }) => {
    const all = await listRevocationLists(db, accountId);
    const before = all.find((one) => isReplaced(one, wanted, list.authority)) ?? null;
    if (before === null && !by.isNew) throw new Failure("revocation_list_unknown");
    refuseOlder(before, list);
    const others = all.filter((one) => one !== before);
    const entries = others.reduce((sum, one) => sum + one.entries, list.serials.length);
    if (others.length >= MOST_LISTS || entries > MOST_ENTRIES) {
      throw new Failure("revocation_list_invalid", {
        message: `an account has ${MOST_LISTS} revocation lists at most, with ${MOST_ENTRIES} entries in all`,
        fix: "Delete one with `countersign host crl --delete ID`.",
      });
    }
    const row: RevocationListRow = {
      ...wanted,
      id: before?.id ?? id,
      issuer: list.issuer,
      authority: list.authority,
      hash,
      serials: list.serials.join("\n"),
      entries: list.serials.length,
      thisUpdate: list.thisUpdate.toISOString(),
      nextUpdate: list.nextUpdate.toISOString(),
      takenOn: now.toISOString(),
      createdOn: before?.createdOn ?? now.toISOString(),
      failures: 0,
      failure: null,
      nextCheckOn: null,
    };
    const taken = { ...row, nextCheckOn: nextCheck(row, now) };
    await putRevocationList(db, taken);
    await changed({ kind: "hosts", accountId });
    return {
      value: taken,
      audit: {
        by: by.actor,
        action: "client.revocation_list",
        accountId,
        resource: { type: "revocation_list", id: taken.id, name: taken.url },
        ...(before && { before: audited(before) }),
        after: audited(taken),
      },
    };
  });
}

/** Fetches a list that is due. Never rejects: a failure is stored, and the previous list stays. */
export async function refreshList(context: ListContext, row: RevocationListRow): Promise<void> {
  const { store, clock, log } = context;
  const { id, accountId, url, interval } = row;
  try {
    const bytes = await fetchList(url ?? "", { outbound: context.outbound.of(accountId) });
    const by = { actor: systemItself, isNew: false };
    await takeList(context, { id, accountId, url, interval }, bytes, by);
  } catch (error) {
    if (error instanceof Failure && error.code === "revocation_list_unknown") return;
    const isTold = error instanceof Failure;
    log.warn(
      { accountId, id, url, err: isTold ? (error.cause ?? error) : error },
      "a revocation list stays as it is",
    );
    const failures = row.failures + 1;
    const pause = Math.min(FIRST_RETRY * 2 ** Math.min(failures - 1, 20), row.interval * 1000);
    const nextCheckOn = new Date(clock().getTime() + pause).toISOString();
    const failure = isTold ? error.message : "internal error";
    await store
      .housekeep(({ db }) => updateRevocationList(db, id, { failures, failure, nextCheckOn }))
      .catch((err: unknown) => log.error({ err }, "a failure was not written down"));
  }
}

/** The list's current problem. Null: none. */
export function listWarning(row: RevocationListRow, now: Date): string | null {
  const { failure, nextUpdate, url } = row;
  if (failure !== null) return `the one before is kept: ${failure}`;
  if (Date.parse(nextUpdate) > now.getTime()) return null;
  return `it was good until ${nextUpdate}${url === null ? ": add the next one" : ", and its URL has none that is newer"}`;
}

/** An uploaded list replaces an earlier uploaded list of the same CA. */
function isReplaced(row: RevocationListRow, { id, url }: WantedList, authority: string): boolean {
  return row.id === id || (url === null && row.url === null && row.authority === authority);
}

async function unchanged(
  { store }: Pick<ListContext, "store">,
  row: RevocationListRow,
  now: Date,
): Promise<RevocationListRow> {
  const change = { failures: 0, failure: null, nextCheckOn: nextCheck(row, now) };
  await store.housekeep(({ db }) => updateRevocationList(db, row.id, change));
  return { ...row, ...change };
}

/** After its interval, or at the list's own next update if that is sooner; never within a minute. */
function nextCheck({ url, interval, nextUpdate }: RevocationListRow, now: Date): string | null {
  if (url === null) return null;
  const regular = now.getTime() + interval * 1000;
  const replaced = Date.parse(nextUpdate);
  const next = replaced > now.getTime() ? Math.min(regular, replaced) : regular;
  return new Date(Math.max(next, now.getTime() + MINUTE)).toISOString();
}

/** Otherwise somebody who controls the URL could undo later revocations with an old list. */
function refuseOlder(
  before: RevocationListRow | null,
  { thisUpdate, authority }: { readonly thisUpdate: Date; readonly authority: string },
): void {
  if (before?.authority !== authority || Date.parse(before.thisUpdate) <= thisUpdate.getTime()) {
    return;
  }
  throw new Failure("revocation_list_invalid", {
    message: `the revocation list is of ${thisUpdate.toISOString()}, and the one of ${before.thisUpdate} is kept`,
    fix: "Have the CA issue a new list.",
  });
}

function audited({ url, authority, entries, thisUpdate }: RevocationListRow) {
  return { url, authority, entries, this_update: thisUpdate };
}

const systemItself: Actor = { kind: "system", id: null, email: "crl@localhost", address: null };
