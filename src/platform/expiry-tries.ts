import type { Logger } from "pino";
import { NOT_DELIVERED } from "../control/certificates/webhook-delivery.ts";
import type { Keyring } from "../keys/seal.ts";
import type { Outbound } from "../network/outbound.ts";
import type { ExpiryNoticeRow } from "../store/schema.ts";
import type { Store } from "../store/store.ts";

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
const LAST_RETRY = 6 * 3_600_000;
/** Tries over about three days; the listing says it all the time. */
const ATTEMPTS = 20;

/** What a notice is after one more try. @param refusal null: it was delivered */
export function afterTry(
  before: number,
  refusal: string | null,
  now: Date,
): Pick<ExpiryNoticeRow, "attempts" | "nextAttemptOn" | "deliveredOn" | "lastError"> {
  const attempts = before + 1;
  if (refusal === null) {
    return { attempts, deliveredOn: now.toISOString(), nextAttemptOn: null, lastError: null };
  }
  const pause = Math.min(FIRST_RETRY * 2 ** (attempts - 1), LAST_RETRY);
  const next = attempts < ATTEMPTS ? new Date(now.getTime() + pause).toISOString() : null;
  return { attempts, nextAttemptOn: next, deliveredOn: null, lastError: NOT_DELIVERED };
}
