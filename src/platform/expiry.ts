import { randomUUID } from "node:crypto";
import { describeExpiry, expiryThreshold, expiryThresholds } from "../certificates/expiry.ts";
import { findCertificate } from "../store/certificates/certificates.ts";
import {
  dueNotices,
  endingBefore,
  insertNotice,
  updateNotice,
  type EndingCertificate,
} from "../store/certificates/expiry-notices.ts";
import type { ExpiryNoticeRow } from "../store/schema.ts";
import { findWebhook } from "../store/webhooks.ts";
import { type ExpiryOptions, sendNotice, untried } from "./expiry-tries.ts";
import { lookAtPresented } from "./presented-expiry.ts";
import { Rounds } from "./rounds.ts";

const DAY = 86_400_000;
const AT_ONCE = 50;

/**
 * Reports each threshold (30, 14, 7, 3, 1 days, and expiry) that a certificate or CA passes once: with a log line and
 * to the account's webhook. Reports are stored, so a restart repeats none, and goes on trying those that were not
 * delivered.
 */
export class ExpiryMonitor implements AsyncDisposable {
  readonly #options: ExpiryOptions;
  readonly #rounds = new Rounds();

  static start(options: ExpiryOptions): ExpiryMonitor {
    const { interval = 60_000, log } = options;
    const started = new ExpiryMonitor(options);
    started.#rounds.begin(() => started.look(), {
      interval,
      failed: (err) => log.error({ err }, "looking for expiry failed"),
    });
    return started;
  }

  /** A monitor that looks only when `look()` is called. */
  static idle(options: ExpiryOptions): ExpiryMonitor {
    return new ExpiryMonitor(options);
  }

  private constructor(options: ExpiryOptions) {
    this.#options = options;
  }

  /** Makes notices for thresholds passed by now, and sends those that are due. */
  async look(): Promise<void> {
    const { store, clock } = this.#options;
    const now = clock();
    const widest = Math.max(...expiryThresholds);
    const ending = await endingBefore(store.db, new Date(now.getTime() + widest * DAY + 1));
    for (const certificate of ending) await this.#notice(certificate, now);
    for (const notice of await dueNotices(store.db, now, AT_ONCE)) {
      await sendNotice(this.#options, notice, {
        now,
        body: () => this.#body(notice, now),
        update: (db, change) => updateNotice(db, notice.id, change),
      });
    }
    await lookAtPresented(this.#options);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#rounds[Symbol.asyncDispose]();
  }

  async #notice({ certificate, version, noticed }: EndingCertificate, now: Date): Promise<void> {
    const { store, log } = this.#options;
    const end = new Date(version.notAfter);
    const threshold = expiryThreshold(end, now);
    if (threshold === null || noticed.some((before) => before <= threshold)) return;
    await store.housekeep(async ({ db }) => {
      const webhook = await findWebhook(db, certificate.accountId);
      await insertNotice(db, {
        id: randomUUID(),
        accountId: certificate.accountId,
        certificateId: certificate.id,
        version: version.version,
        threshold,
        createdOn: now.toISOString(),
        ...untried(webhook, now),
      });
    });
    log[threshold > 7 ? "info" : "warn"](
      {
        accountId: certificate.accountId,
        certificateId: certificate.id,
        version: version.version,
        threshold,
        expiresOn: version.notAfter,
      },
      `${certificate.ca === 1 ? "CA" : "certificate"} ${certificate.name ?? certificate.id} ${describeExpiry(end, now)}`,
    );
  }

  /** Null: the certificate was rotated meanwhile, so the notice no longer applies. */
  async #body(notice: ExpiryNoticeRow, now: Date): Promise<object | null> {
    const { accountId, certificateId, version, threshold } = notice;
    const certificate = await findCertificate(this.#options.store.db, accountId, certificateId);
    if (certificate?.activeVersion !== version) return null;
    const { active, name, ca } = certificate;
    const expired = new Date(active.notAfter) < now;
    return {
      type: expired ? "certificate.expired" : "certificate.expiring",
      timestamp: notice.createdOn,
      data: {
        account_id: accountId,
        certificate_id: certificateId,
        name,
        ca: ca === 1,
        version,
        threshold_days: threshold,
        expires_on: active.notAfter,
        expires: describeExpiry(new Date(active.notAfter), now),
        subject: active.subject,
        fingerprint: active.fingerprint,
      },
    };
  }
}
