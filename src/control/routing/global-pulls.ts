import { randomUUID } from "node:crypto";
import { makePullAuthority, issuePullCertificate } from "../../identity/pull-authority.ts";
import { pullAuthorityPlace } from "../../keys/places.ts";
import type { Keyring } from "../../keys/seal.ts";
import type { Database } from "../../store/database.ts";
import {
  accountsWithGlobalPulls,
  deletePullAuthority,
  insertPullAuthority,
  listGlobalPullZones,
  listPullAuthorities,
} from "../../store/hosts/global-pulls.ts";
import {
  accountsWithPullLevel,
  deletePullCertificate,
  insertPullCertificate,
  listPullCertificates,
  pullKeyPlace,
} from "../../store/hosts/origin-pulls.ts";
import type { OriginPullCertificateRow, PullAuthorityRow } from "../../store/schema.ts";
import type { Store, Write } from "../../store/store.ts";

export interface GlobalPullContext {
  readonly keyring: Keyring;
  readonly clock: () => Date;
}

const DAY = 86_400_000;
const LEAF_DAYS = 90;
/** ms; renewed when less is left. */
const LEAF_RENEWED = 30 * DAY;
/** ms before a CA's expiry at which its successor is made. Owners of origins need this time to trust it. */
const SUCCESSION = 365 * DAY;

/**
 * The CAs whose certificates all origins may be shown, for their owners to trust: one, made when it is first needed,
 * and in its last year its successor too.
 */
export async function pullAuthorities(
  db: Database,
  { keyring, clock }: GlobalPullContext,
): Promise<readonly PullAuthorityRow[]> {
  const now = clock();
  const rows: PullAuthorityRow[] = [];
  for (const row of await listPullAuthorities(db)) {
    if (lasts(row, now, 0)) rows.push(row);
    else await deletePullAuthority(db, row.id);
  }
  if (!rows.some((row) => lasts(row, now, SUCCESSION))) {
    const id = randomUUID();
    const made = await makePullAuthority(now);
    const row: PullAuthorityRow = {
      id,
      certificate: made.chain,
      sealedKey: keyring.seal(pullAuthorityPlace(id), made.key),
      notAfter: made.notAfter.toISOString(),
      createdOn: now.toISOString(),
    };
    await insertPullAuthority(db, row);
    rows.push(row);
  }
  return rows;
}

/**
 * Gives an account a valid global certificate if one of its zones uses it, and removes it if none does. Requests in
 * flight finish with the previous one.
 */
export async function settleGlobalPull(
  { db, changed }: Write,
  context: GlobalPullContext,
  accountId: string,
): Promise<void> {
  const there = (await listPullCertificates(db, accountId)).filter(
    ({ level }) => level === "global",
  );
  const isWanted = (await listGlobalPullZones(db, accountId)).some((row) => row.enabled === 1);
  const good = there.find((row) => isWanted && lasts(row, context.clock(), LEAF_RENEWED));
  if (isWanted && good === undefined) {
    const row = await issued(db, context, accountId);
    await insertPullCertificate(db, row);
    await changed({ kind: "certificate", accountId, certificateId: row.id });
  }
  const over = there.filter((row) => row !== good);
  for (const { id } of over) await deletePullCertificate(db, id);
  await changed({ kind: "hosts", accountId });
  for (const { id } of over) await changed({ kind: "certificate", accountId, certificateId: id });
}

/** Renews global certificates of all accounts that expire soon. @returns the accounts whose certificate has changed */
export async function renewGlobalPulls(
  context: GlobalPullContext & { readonly store: Store },
): Promise<readonly string[]> {
  const { store, clock } = context;
  const now = clock();
  const holders = await accountsWithPullLevel(store.db, "global");
  const users = await accountsWithGlobalPulls(store.db);
  const renewed: string[] = [];
  for (const accountId of new Set([...holders, ...users])) {
    const rows = await listPullCertificates(store.db, accountId);
    const isGood = rows.some((row) => row.level === "global" && lasts(row, now, LEAF_RENEWED));
    if (isGood && users.includes(accountId)) continue;
    await store.housekeep((write) => settleGlobalPull(write, context, accountId));
    renewed.push(accountId);
  }
  const authorities = await listPullAuthorities(store.db);
  // The successor has to exist in time, even if nobody asks for it.
  if (authorities.length > 0 && !authorities.some((row) => lasts(row, now, SUCCESSION))) {
    await store.housekeep(({ db }) => pullAuthorities(db, context));
  }
  return renewed;
}

async function issued(
  db: Database,
  context: GlobalPullContext,
  accountId: string,
): Promise<OriginPullCertificateRow> {
  const { keyring, clock } = context;
  const now = clock();
  const authorities = await pullAuthorities(db, context);
  // The oldest CA that is valid for long enough, because its successor may not be trusted everywhere yet.
  const signer = authorities.find((row) => lasts(row, now, LEAF_DAYS * DAY)) ?? authorities.at(-1)!;
  const key = keyring.unseal(pullAuthorityPlace(signer.id), signer.sealedKey);
  const made = await issuePullCertificate(
    { chain: signer.certificate, key },
    { account: accountId, now, days: LEAF_DAYS },
  );
  const id = randomUUID();
  return {
    id,
    accountId,
    zone: "",
    level: "global",
    chain: made.chain,
    sealedKey: keyring.seal(pullKeyPlace({ accountId, id }), made.key),
    issuer: made.issuer,
    serialNumber: made.serialNumber,
    signature: "ECDSAWithSHA256",
    notAfter: made.notAfter.toISOString(),
    uploadedOn: now.toISOString(),
  };
}

function lasts({ notAfter }: { readonly notAfter: string }, now: Date, ms: number): boolean {
  return Date.parse(notAfter) > now.getTime() + ms;
}
