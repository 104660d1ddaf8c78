import { X509Certificate, randomUUID } from "node:crypto";
import { describeExpiry, expiryThreshold } from "../certificates/expiry.ts";
import { listAccounts } from "../store/access/accounts.ts";
import {
  duePresentedNotices,
  insertPresentedNotice,
  presentedCertificates,
  presentedThresholds,
  type PresentedCertificate,
  updatePresentedNotice,
} from "../store/hosts/presented.ts";
import type { PresentedNoticeRow } from "../store/schema.ts";
import { findWebhook } from "../store/webhooks.ts";
import { type ExpiryOptions, sendNotice, untried } from "./expiry-tries.ts";

/** Days. A certificate that renews itself is reported only if its renewal is long overdue. */
const RENEWED_BEFORE = 14;
const AT_ONCE = 50;

/** Notices for the certificates of hosts and origin pulls. `ExpiryMonitor` makes those for bindings' certificates. */
export async function lookAtPresented(options: ExpiryOptions): Promise<void> {
  const { store, clock } = options;
  const now = clock();
  for (const { id } of await listAccounts(store.db)) {
    for (const one of await presentedCertificates(store.db, id)) await notice(options, one, now);
  }
  for (const due of await duePresentedNotices(store.db, now, AT_ONCE)) {
    await sendNotice(options, due, {
      now,
      body: () => body(options, due, now),
      update: (db, change) => updatePresentedNotice(db, due.id, change),
    });
  }
}

async function notice(
  { store, log }: ExpiryOptions,
  certificate: PresentedCertificate,
  now: Date,
): Promise<void> {
  const { kind, accountId, id, names, notAfter, renewal } = certificate;
  const threshold = expiryThreshold(new Date(notAfter), now);
  if (threshold === null || (renewal === "renewing" && threshold > RENEWED_BEFORE)) return;
  if (renewal === "renewing" && isShort(certificate) && threshold > 0) return;
  const noticed = await presentedThresholds(store.db, certificate);
  if (noticed.some((before) => before <= threshold)) return;
  await store.housekeep(async ({ db }) => {
    const webhook = await findWebhook(db, accountId);
    await insertPresentedNotice(db, {
      id: randomUUID(),
      accountId,
      kind,
      certificateId: id,
      notAfter,
      threshold,
      createdOn: now.toISOString(),
      ...untried(webhook, now),
    });
  });
  log[threshold > 7 ? "info" : "warn"](
    { accountId, certificateId: id, kind, threshold, expiresOn: notAfter },
    `the certificate ${WHERE[kind]} ${names.join(", ")} ${describeExpiry(new Date(notAfter), now)}`,
  );
}

const WHERE = { host: "of", origin_pull: "for origins of" } as const;

/** A certificate that is valid for a few days only is always past some threshold. */
function isShort({ chain }: PresentedCertificate): boolean {
  const { validFromDate, validToDate } = new X509Certificate(chain);
  const life = validToDate.getTime() - validFromDate.getTime();
  return life / 3 < RENEWED_BEFORE * 86_400_000;
}

/** Null: the certificate was renewed or deleted meanwhile. */
async function body(
  { store }: ExpiryOptions,
  due: PresentedNoticeRow,
  now: Date,
): Promise<object | null> {
  const presented = await presentedCertificates(store.db, due.accountId);
  const certificate = presented.find(
    (one) => one.kind === due.kind && one.id === due.certificateId && one.notAfter === due.notAfter,
  );
  return certificate === undefined ? null : bodyOf(due, certificate, now);
}

function bodyOf(
  { createdOn, threshold }: PresentedNoticeRow,
  { kind, accountId, id, names, chain, notAfter }: PresentedCertificate,
  now: Date,
): object {
  const { subject, fingerprint256 } = new X509Certificate(chain);
  const end = new Date(notAfter);
  return {
    type: `${kind}_certificate.${end < now ? "expired" : "expiring"}`,
    timestamp: createdOn,
    data: {
      account_id: accountId,
      certificate_id: id,
      [kind === "host" ? "hosts" : "origins_of"]: names,
      threshold_days: threshold,
      expires_on: notAfter,
      expires: describeExpiry(end, now),
      subject: subject?.replaceAll("\n", ",") ?? "",
      fingerprint: fingerprint256.replaceAll(":", "").toLowerCase(),
    },
  };
}
