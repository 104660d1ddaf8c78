import { createHmac } from "node:crypto";
import type { Keyring } from "../../keys/seal.ts";
import type { WebhookRow } from "../../store/schema.ts";
import { webhookPlace } from "../../store/sealed-records.ts";

const TIMEOUT = 10_000;

export interface WebhookMessage {
  /** Stays the same when it is sent again: a receiver that has seen it may ignore it. */
  readonly id: string;
  readonly body: object;
}

/**
 * Sends one message, signed after Standard Webhooks: `webhook-signature: v1,<base64>`, HMAC-SHA256
 * over `{id}.{timestamp}.{body}`. Redirects are not followed, and the answer's body is not read.
 * @returns null once a status from 200 to 299 came back; else why not, in a sentence
 */
export async function deliver(
  { url, sealedSecret, accountId }: WebhookRow,
  message: WebhookMessage,
  { keyring, now }: { readonly keyring: Keyring; readonly now: Date },
): Promise<string | null> {
  const body = JSON.stringify(message.body);
  const timestamp = String(Math.floor(now.getTime() / 1000));
  try {
    const secret = keyring.unseal(webhookPlace(accountId), sealedSecret);
    const response = await fetch(url, {
      method: "POST",
      redirect: "manual",
      signal: AbortSignal.timeout(TIMEOUT),
      headers: {
        "content-type": "application/json",
        "user-agent": "countersign",
        "webhook-id": message.id,
        "webhook-timestamp": timestamp,
        "webhook-signature": `v1,${signature(secret, `${message.id}.${timestamp}.${body}`)}`,
      },
      body,
    });
    await response.body?.cancel();
    return response.ok ? null : `it answered with status ${response.status}`;
  } catch (error) {
    const { cause, message: text } = error as Error & { readonly cause?: NodeJS.ErrnoException };
    return cause?.code ?? cause?.message ?? text;
  }
}

/** @param secret `whsec_` and base64 of the key */
function signature(secret: string, signed: string): string {
  const key = Buffer.from(secret.slice("whsec_".length), "base64");
  return createHmac("sha256", key).update(signed).digest("base64");
}
