import { createHmac } from "node:crypto";
import type { Keyring } from "../../keys/seal.ts";
import type { Outbound } from "../../network/outbound.ts";
import type { WebhookRow } from "../../store/schema.ts";
import { webhookPlace } from "../../keys/places.ts";

const TIMEOUT = 10_000;

export interface WebhookMessage {
  /** The same for each repetition, so a receiver can ignore a message that it has seen. */
  readonly id: string;
  readonly body: object;
}

/**
 * All that an account learns about an undelivered message. More would reveal which servers listen in the platform's
 * network. The log has the reason.
 */
export const NOT_DELIVERED = "not delivered";

/**
 * Sends one message, signed as in Standard Webhooks: `webhook-signature: v1,<base64>`, HMAC-SHA256 over
 * `{id}.{timestamp}.{body}`. Redirects are not followed.
 * @returns null after a status from 200 to 299; else the reason, in a sentence for the log
 */
export async function deliver(
  { url, sealedSecret, accountId }: WebhookRow,
  message: WebhookMessage,
  { keyring, outbound, now }: { keyring: Keyring; outbound: Outbound; now: Date },
): Promise<string | null> {
  const body = JSON.stringify(message.body);
  const timestamp = String(Math.floor(now.getTime() / 1000));
  try {
    const secret = keyring.unseal(webhookPlace(accountId), sealedSecret);
    const { status } = await outbound.of(accountId).send(url, {
      method: "POST",
      timeout: TIMEOUT,
      headers: {
        "content-type": "application/json",
        "user-agent": "countersign",
        "webhook-id": message.id,
        "webhook-timestamp": timestamp,
        "webhook-signature": `v1,${signature(secret, `${message.id}.${timestamp}.${body}`)}`,
      },
      body,
    });
    return status >= 200 && status < 300 ? null : `it answered with status ${status}`;
  } catch (error) {
    const { code, message: text } = error as NodeJS.ErrnoException;
    return text || code || "it failed";
  }
}

/** @param secret `whsec_` and the key in base64 */
function signature(secret: string, signed: string): string {
  const key = Buffer.from(secret.slice("whsec_".length), "base64");
  return createHmac("sha256", key).update(signed).digest("base64");
}
