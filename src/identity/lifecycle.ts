import type { ScriptKey } from "../contract/change-feed.ts";
import { Failure } from "../failures/failures.ts";
import {
  findIdentity,
  insertAuthority,
  listAuthorities,
  listIssued,
  putIdentity,
  revokeIssued,
  updateAuthority,
} from "../store/identities.ts";
import type { IdentityAuthorityRow, IdentityRow } from "../store/schema.ts";
import type { Write } from "../store/store.ts";
import type { SignedElsewhere } from "./offline.ts";

/**
 * Takes a Worker's identity away: its current identity is revoked, and none is issued until `restore`.
 * @throws Failure `identity_not_found`
 */
export async function revokeIdentity(
  { db, changed }: Write,
  key: ScriptKey,
  reason: "revoked" | "deleted",
  now: Date,
): Promise<IdentityRow> {
  const row = await findIdentity(db, key);
  if (!row) throw identityNotFound(key);
  const revokedOn = row.revokedOn ?? now.toISOString();
  const revoked: IdentityRow = { ...row, revokedOn, reason: row.reason ?? reason };
  await putIdentity(db, revoked);
  await revokeIssued(db, key, revokedOn);
  await changed({ kind: "identity", ...key });
  return revoked;
}

/**
 * Lets a Worker have an identity again. The revoked one stays revoked; the Worker gets a new one.
 * @throws Failure `identity_not_found`
 */
export async function restoreIdentity(
  { db, changed }: Write,
  key: ScriptKey,
): Promise<IdentityRow> {
  const row = await findIdentity(db, key);
  if (!row) throw identityNotFound(key);
  const restored: IdentityRow = { ...row, revokedOn: null, reason: null };
  await putIdentity(db, restored);
  await changed({ kind: "identity", ...key });
  return restored;
}

/** Makes a CA beside the one that issues, so origins trust it before it issues anything. */
export async function prepareAuthority(
  { db, changed }: Write,
  make: (number: number) => IdentityAuthorityRow,
  accountId: string,
): Promise<IdentityAuthorityRow> {
  const all = await listAuthorities(db, accountId);
  const waiting = all.find(({ state }) => state === "prepared");
  if (waiting) {
    throw new Failure("identity_authority_order", {
      message: `CA ${waiting.number} is prepared already`,
    });
  }
  const row = make((all.at(-1)?.number ?? 0) + 1);
  await insertAuthority(db, row);
  await changed({ kind: "identities", accountId });
  return row;
}

/**
 * Stores the certificate that the root has signed elsewhere.
 * @throws Failure `identity_authority_order` if no CA waits for it
 */
export async function importAuthority(
  { db, changed }: Write,
  accountId: string,
  read: (row: IdentityAuthorityRow) => SignedElsewhere,
): Promise<IdentityAuthorityRow> {
  const waiting = (await listAuthorities(db, accountId)).find(
    ({ state, sealedRootKey }) => state === "prepared" && sealedRootKey === null,
  );
  if (waiting === undefined) {
    throw new Failure("identity_authority_order", {
      message: "no CA waits for what its root signs",
      fix: "Begin with `countersign identity ca prepare --root FILE`.",
    });
  }
  const signed = read(waiting);
  await updateAuthority(db, waiting.id, signed);
  await changed({ kind: "identities", accountId });
  return { ...waiting, ...signed };
}

/**
 * The prepared CA issues from now on; the previous one is trusted until it is retired.
 * @throws Failure `identity_authority_order`
 */
export async function activateAuthority(
  { db, changed }: Write,
  accountId: string,
  now: Date,
): Promise<IdentityAuthorityRow> {
  const all = await listAuthorities(db, accountId);
  const prepared = all.find(({ state }) => state === "prepared");
  if (prepared === undefined || prepared.chain === null) {
    throw new Failure("identity_authority_order", {
      message:
        prepared === undefined
          ? "no CA is prepared"
          : `CA ${prepared.number} waits for its certificate, which the root signs`,
    });
  }
  const changedOn = now.toISOString();
  for (const { id, state } of all) {
    if (state === "active") await updateAuthority(db, id, { state: "retiring", changedOn });
  }
  await updateAuthority(db, prepared.id, { state: "active", changedOn });
  await changed({ kind: "identities", accountId });
  return { ...prepared, state: "active", changedOn };
}

/**
 * Ends trust in the CAs that were replaced.
 * @param force even if some of their identities are still valid
 * @throws Failure `identity_authority_order`
 */
export async function retireAuthorities(
  { db, changed }: Write,
  { accountId, now, force }: { accountId: string; now: Date; force: boolean },
): Promise<number[]> {
  const retiring = (await listAuthorities(db, accountId)).filter(
    ({ state }) => state === "retiring",
  );
  if (retiring.length === 0) {
    throw new Failure("identity_authority_order", { message: "no CA waits to be retired" });
  }
  const replacedFor = now.getTime() - Math.max(...retiring.map((row) => Date.parse(row.changedOn)));
  if (!force && replacedFor < ON_ITS_WAY) {
    throw new Failure("identity_authority_order", {
      message: "the CA was replaced a moment ago, and what it issued may still be on its way",
      fix: `Wait ${ON_ITS_WAY / 1000} seconds, or say --force.`,
    });
  }
  const held = force ? null : await holderOf(db, accountId, retiring, now);
  if (held !== null) {
    throw new Failure("identity_authority_order", {
      message: `"${held}" still presents a certificate of a CA that would be retired`,
      fix: "Wait until it has renewed, or say --force.",
    });
  }
  const changedOn = now.toISOString();
  for (const { id } of retiring) await updateAuthority(db, id, { state: "retired", changedOn });
  await changed({ kind: "identities", accountId });
  return retiring.map(({ number }) => number);
}

/** ms that a request may take to reach the origin that judges it. */
const ON_ITS_WAY = 5_000;

/** The Worker that still presents an identity of one of these CAs as its newest. Null: there is none. */
async function holderOf(
  db: Write["db"],
  accountId: string,
  authorities: readonly IdentityAuthorityRow[],
  now: Date,
): Promise<string | null> {
  const valid = (await listIssued(db, accountId)).filter(
    ({ notAfter, revokedOn }) => revokedOn === null && notAfter > now.toISOString(),
  );
  const newest = new Map<string, string>();
  // The newest come first.
  for (const { scriptName, serial, authorityId } of valid) {
    const holder = scriptName ?? serial;
    if (!newest.has(holder)) newest.set(holder, authorityId);
  }
  const ids = new Set(authorities.map(({ id }) => id));
  for (const [holder, authorityId] of newest) if (ids.has(authorityId)) return holder;
  return null;
}

function identityNotFound({ scriptName }: ScriptKey): Failure {
  return new Failure("identity_not_found", {
    message: `the Worker "${scriptName.slice(0, 100)}" never had an identity`,
    facts: { worker: scriptName },
  });
}
