import { generateKeyPairSync, randomUUID, X509Certificate } from "node:crypto";
import { Failure } from "../../failures/failures.ts";
import { acmeExternalKeyPlace, acmeKeyPlace, type Place } from "../../keys/places.ts";
import type { Sealed } from "../../keys/seal.ts";
import {
  acmeAccountAt,
  acmeExternalAccount,
  challengesBefore,
  challengesOf,
  deleteAcmeAccount,
  deleteChallenge,
  LONGEST_ACME_PAUSE,
  findAcmeAccount,
  putAcmeAccount,
  putAcmeExternalAccount,
  putChallenge,
  renewalBegun,
  renewalFailed,
  replaceAcmeAccount,
} from "../../store/hosts/acme.ts";
import type { Actor } from "../../store/access/audit.ts";
import type { Database } from "../../store/database.ts";
import { hostsOf, listHostCertificates } from "../../store/hosts/host-certificates.ts";
import type {
  AcmeAccountRow,
  AcmeChallengeKind,
  AcmeExternalAccountRow,
  HostCertificateRow,
} from "../../store/schema.ts";
import { applyChange } from "../api/apply-change.ts";
import type { ControlContext } from "../api/context.ts";
import { type AcmeOrder, orderCertificate, type PresentedChallenge } from "./acme-order.ts";
import { type HostTarget, presentAt } from "./host-certificate-taking.ts";
import { hostOfAnother } from "./host-owners.ts";

export type AcmeContext = Pick<
  ControlContext,
  "store" | "keyring" | "edge" | "intake" | "outbound" | "clock" | "log"
>;

/** What an order asks for, and how the account at the server is opened. */
export interface AcmeWish {
  /** Null: the directory that issued the host's current certificate, else Let's Encrypt. */
  readonly directory: string | null;
  readonly email: string | null;
  /** PEM. Null: public CAs. */
  readonly authority: string | null;
  readonly acceptsTerms: boolean;
  /**
   * The kind of proof. Null: the one that was chosen for the host's current certificate, else one that the server
   * offers.
   */
  readonly challenge: AcmeChallengeKind | null;
  /** The external account to open the account with. Null: the stored one, if any. */
  readonly external: {
    readonly kid: string;
    /** Its MAC key. */
    seal(this: void, place: Place): Sealed;
  } | null;
}

const LETS_ENCRYPT = "https://acme-v02.api.letsencrypt.org/directory";
const MOST_ORDERS = 10;
/** ms */
const FIRST_RETRY = 15 * 60_000;
const OVER = 10 * 60_000;

/**
 * Orders a certificate, has the host present it from now on, and stores how to renew it. If anything fails, the host
 * goes on presenting its current certificate.
 * @throws Failure `acme_…`, `host_certificate_unfit`
 */
export async function takeByAcme(
  context: AcmeContext,
  target: HostTarget,
  wish: AcmeWish,
): Promise<HostCertificateRow> {
  const { store } = context;
  const { accountId, host } = target;
  if (host.startsWith("*")) {
    throw new Failure("acme_host_unfit", {
      message: `"${host.slice(0, 253)}" is a wildcard, which an ACME server issues only for a record in the DNS (DNS-01)`,
    });
  }
  if ((await hostOfAnother(store.db, accountId, [host])) !== null) {
    throw new Failure("acme_host_unfit", {
      message: `"${host.slice(0, 253)}" belongs to another account`,
    });
  }
  const before = await issuedBefore(store.db, target);
  const directory = wish.directory ?? before?.directory ?? LETS_ENCRYPT;
  const there = await acmeAccountAt(store.db, accountId, directory);
  const bound = there && (await acmeExternalAccount(store.db, there.id));
  // Another external account means another account at the server, with another key.
  const isOther = wish.external !== null && wish.external.kid !== bound?.kid;
  const isKnown = there !== null && !isOther;
  const email = wish.email ?? there?.email ?? null;
  const authority = wish.authority ?? there?.authority ?? null;
  const account: AcmeAccountRow = isKnown
    ? { ...there, email, authority }
    : newAccount(context, {
        id: there?.id ?? randomUUID(),
        accountId,
        directory,
        email,
        authority,
      });
  const named = sealExternal(context, account, wish);
  return obtain(context, target, account, {
    isKnown,
    acceptsTerms: isKnown || wish.acceptsTerms,
    challenge: wish.challenge ?? before?.challenge ?? null,
    external: named ?? bound,
    namesExternal: named !== null,
    isFirst: there === null,
    replaces: there !== null && isOther,
  });
}

/** @throws Failure `request_invalid`, which does not quote what was sent */
function sealExternal(
  { keyring }: AcmeContext,
  { id, accountId }: AcmeAccountRow,
  { external }: AcmeWish,
): AcmeExternalAccountRow | null {
  if (external === null) return null;
  const place = acmeExternalKeyPlace(accountId, id);
  const sealedKey = external.seal(place);
  if (!/^[A-Za-z0-9_-]{2,3000}={0,2}$/.test(keyring.unseal(place, sealedKey))) {
    throw new Failure("request_invalid", {
      message: "the key of the external account is not base64url, as ACME servers give it out",
    });
  }
  return { id, accountId, kid: external.kid, sealedKey };
}

/** Renews a certificate that is due. Never rejects: a failure is stored, and the current certificate stays. */
export async function renew(
  context: AcmeContext,
  row: HostCertificateRow,
  signal: AbortSignal,
): Promise<void> {
  const { store, clock, log } = context;
  const { accountId, id, acmeAccountId } = row;
  const host = hostsOf(row)[0] ?? "";
  try {
    const account = await findAcmeAccount(store.db, acmeAccountId ?? "");
    if (account === null) throw new Failure("internal", { message: "it has no ACME account" });
    // A server issues few certificates for a host in a week: if this process ends again and again, its orders do not
    // follow each other at once.
    const again = new Date(clock().getTime() + FIRST_RETRY).toISOString();
    await store.housekeep(({ db }) => renewalBegun(db, id, again));
    const target = { accountId, host, by: systemItself };
    const { notAfter } = await obtain(
      context,
      target,
      account,
      {
        isKnown: true,
        acceptsTerms: true,
        challenge: row.acmeChallenge,
        external: await acmeExternalAccount(store.db, account.id),
        namesExternal: false,
        isFirst: false,
        replaces: false,
      },
      { id, signal },
    );
    log.info({ accountId, host, notAfter }, "a host's certificate was renewed by ACME");
  } catch (error) {
    // The platform is ending; the order is made again once it is due.
    if (signal.aborted) return;
    const isTold = error instanceof Failure;
    log.warn(
      { accountId, host, err: isTold ? (error.cause ?? error) : error },
      "a host's certificate was not renewed by ACME",
    );
    const acmeFailures = row.acmeFailures + 1;
    const pause = Math.min(FIRST_RETRY * 2 ** Math.min(acmeFailures - 1, 10), LONGEST_ACME_PAUSE);
    const acmeNextOn = new Date(clock().getTime() + pause).toISOString();
    const acmeFailure = isTold ? `${error.code}: ${error.message}` : "internal: internal error";
    await store
      .housekeep(({ db }) => renewalFailed(db, id, { acmeFailures, acmeFailure, acmeNextOn }))
      .catch((err: unknown) => log.error({ err }, "a failure was not written down"));
  }
}

/** Removes challenges that could not be removed with their orders. */
export async function forgetOldChallenges({ store, edge, clock }: AcmeContext): Promise<void> {
  const old = await challengesBefore(store.db, new Date(clock().getTime() - OVER));
  if (old.length === 0) return;
  await applyChange({ store, edge }, async ({ db, changed }) => {
    for (const challenge of old) await deleteChallenge(db, challenge);
    for (const accountId of new Set(old.map((one) => one.accountId))) {
      await changed({ kind: "hosts", accountId });
    }
    return { value: null, audit: null };
  });
}

/** Where and how the host's current certificate was issued. Null: not by ACME. */
async function issuedBefore(
  db: Database,
  { accountId, host }: Pick<HostTarget, "accountId" | "host">,
): Promise<{
  readonly directory: string | null;
  readonly challenge: AcmeChallengeKind | null;
} | null> {
  const rows = await listHostCertificates(db, accountId);
  const row = rows.find((one) => hostsOf(one)[0] === host);
  if (row === undefined || row.acmeAccountId === null) return null;
  const account = await findAcmeAccount(db, row.acmeAccountId);
  return { directory: account?.directory ?? null, challenge: row.acmeChallenge };
}

interface Terms extends Pick<AcmeOrder, "isKnown" | "acceptsTerms" | "challenge"> {
  readonly external: AcmeExternalAccountRow | null;
  /** The stored values come from this order. If not, the key may have been re-wrapped meanwhile, and is not written. */
  readonly namesExternal: boolean;
  /** No account of the server is stored yet. */
  readonly isFirst: boolean;
  /** The order's MAC key replaces a stored one. */
  readonly replaces: boolean;
}

/** @param renewed the certificate that is renewed: if ACME no longer renews it, nothing is stored */
async function obtain(
  context: AcmeContext,
  target: HostTarget,
  account: AcmeAccountRow,
  { external, namesExternal, isFirst, replaces, ...terms }: Terms,
  renewed?: { readonly id: string; readonly signal: AbortSignal },
): Promise<HostCertificateRow> {
  const { store, keyring, intake, clock } = context;
  const { accountId, host } = target;
  const { directory, email, authority } = account;
  const outbound = context.outbound.of(accountId);
  const keep = (): Promise<void> =>
    store.housekeep(async ({ db }) => {
      if (replaces) await replaceAcmeAccount(db, account);
      const id = await putAcmeAccount(db, account);
      // If another order has opened the account first, that order's external account counts.
      if (namesExternal && external?.id === id) await putAcmeExternalAccount(db, external);
    });
  const own = authority === null ? null : outbound.trusting(authority);
  await using _ = own ?? { [Symbol.asyncDispose]: async () => {} };
  const { chain, key } = await orderCertificate({
    directory,
    email,
    ...terms,
    host,
    accountKey: keyring.unseal(acmeKeyPlace(accountId, account.id), account.sealedKey),
    external: external && {
      kid: external.kid,
      hmacKey: keyring.unseal(acmeExternalKeyPlace(accountId, account.id), external.sealedKey),
    },
    outbound: own ?? outbound,
    ...(renewed && { signal: renewed.signal }),
    // Stored before, whatever happens to the order or to this process: servers limit new accounts, and may accept an
    // external account only once. A key that works is replaced by one that works alone.
    opening: async () => {
      if (isFirst) await keep();
    },
    notOpened: async () => {
      if (isFirst) await store.housekeep(({ db }) => deleteAcmeAccount(db, account.id));
    },
    opened: keep,
    present: (challenge) => present(context, { accountId, host }, challenge),
  });
  const acmeAccountId = await store.housekeep(({ db }) => putAcmeAccount(db, account));
  using upload = await intake.receivePair({
    certificate: Buffer.from(chain),
    key: Buffer.from(key),
  });
  const judged = await upload.judge({ ca: false, now: clock() });
  // Stored while the upload is still open, because the upload holds the sealed key.
  return await presentAt(context, target, judged, {
    source: "acme",
    folder: null,
    acmeAccountId,
    acmeChallenge: terms.challenge,
    acmeNextOn: renewalOf(chain).toISOString(),
    ...(renewed && { inPlaceOf: renewed.id }),
  });
}

/** After two thirds of the certificate's lifetime. */
function renewalOf(chain: string): Date {
  const { validFromDate, validToDate } = new X509Certificate(chain);
  const [from, to] = [validFromDate.getTime(), validToDate.getTime()];
  return new Date(from + ((to - from) * 2) / 3);
}

function newAccount(
  { keyring, clock }: AcmeContext,
  account: Omit<AcmeAccountRow, "sealedKey" | "createdOn">,
): AcmeAccountRow {
  const { id, accountId } = account;
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const pem = privateKey.export({ type: "pkcs8", format: "pem" });
  const sealedKey = keyring.seal(acmeKeyPlace(accountId, id), pem);
  const createdOn = clock().toISOString();
  return { ...account, sealedKey, createdOn };
}

async function present(
  { store, edge, clock }: AcmeContext,
  { accountId, host }: Pick<HostTarget, "accountId" | "host">,
  challenge: PresentedChallenge,
): Promise<AsyncDisposable> {
  const row = { ...challenge, accountId, host, createdOn: clock().toISOString() };
  await applyChange({ store, edge }, async ({ db, changed }) => {
    if ((await challengesOf(db, accountId)).length >= MOST_ORDERS) throw new Failure("acme_busy");
    await putChallenge(db, row);
    await changed({ kind: "hosts", accountId });
    return { value: null, audit: null };
  });
  return {
    [Symbol.asyncDispose]: () =>
      applyChange({ store, edge }, async ({ db, changed }) => {
        await deleteChallenge(db, row);
        await changed({ kind: "hosts", accountId });
        return { value: undefined, audit: null };
      }),
  };
}

const systemItself: Actor = { kind: "system", id: null, email: "acme@localhost", address: null };
