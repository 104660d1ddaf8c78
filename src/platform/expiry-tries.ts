import type { Logger } from "pino";
import { deliver, NOT_DELIVERED } from "../control/certificates/webhook-delivery.ts";
import type { Keyring } from "../keys/seal.ts";
import type { Outbound } from "../network/outbound.ts";
import { LONGEST_NOTICE_PAUSE } from "../store/certificates/expiry-notices.ts";
import type { Database } from "../store/database.ts";
import type { ExpiryNoticeRow, WebhookRow } from "../store/schema.ts";
import type { Store } from "../store/store.ts";
import { findWebhook } from "../store/webhooks.ts";

export interface ExpiryOptions {
  readonly store: Store;
  readonly keyring: Keyring;
  readonly outbound: Outbound;
  readonly clock: () => Date;
  readonly log: Logger;
  /** ms between two looks. Default: 60,000. */
  readonly interval?: number;
}

const FIRST_RETRY = 60_000;
/** Tries over about three days. The API lists the expiry all the time. */
const ATTEMPTS = 20;

/** How far the delivery of a notice has got, for any kind of certificate. */
export type Tried = Pick<
  ExpiryNoticeRow,
  "attempts" | "nextAttemptOn" | "deliveredOn" | "lastError"
>;

/** A new notice, to be sent at once if the account has a webhook. */
export function untried(webhook: WebhookRow | undefined, now: Date): Tried {
  const nextAttemptOn = webhook ? now.toISOString() : null;
  return { attempts: 0, nextAttemptOn, deliveredOn: null, lastError: null };
}

interface Due {
  readonly now: Date;
  /** Returns null if the notice no longer applies. */
  readonly body: (this: void) => Promise<object | null>;
  readonly update: (this: void, db: Database, change: Partial<Tried>) => Promise<void>;
}

/** Tries once to deliver a due notice to the account's webhook, and stores the result. */
export async function sendNotice(
  { store, keyring, outbound, log }: ExpiryOptions,
  { id, accountId, attempts: before }: Pick<ExpiryNoticeRow, "id" | "accountId" | "attempts">,
  { now, body: bodyOf, update }: Due,
): Promise<void> {
  const webhook = await findWebhook(store.db, accountId);
  const body = webhook ? await bodyOf() : null;
  if (!webhook || !body) {
    await store.housekeep(({ db }) => update(db, { nextAttemptOn: null }));
    return;
  }
  const refusal = await deliver(webhook, { id, body }, { keyring, outbound, now });
  const change = afterTry(before, refusal, now);
  await store.housekeep(({ db }) => update(db, change));
  if (refusal === null) return;
  const { attempts, nextAttemptOn: next } = change;
  log.warn(
    { accountId, notice: id, attempts, next },
    `the webhook was not told of an expiry: ${refusal}`,
  );
}

/** The state of a notice after one more try. @param refusal null: the notice was delivered */
function afterTry(before: number, refusal: string | null, now: Date): Tried {
  const attempts = before + 1;
  if (refusal === null) {
    return { attempts, deliveredOn: now.toISOString(), nextAttemptOn: null, lastError: null };
  }
  const pause = Math.min(FIRST_RETRY * 2 ** (attempts - 1), LONGEST_NOTICE_PAUSE);
  const next = attempts < ATTEMPTS ? new Date(now.getTime() + pause).toISOString() : null;
  return { attempts, nextAttemptOn: next, deliveredOn: null, lastError: NOT_DELIVERED };
}
