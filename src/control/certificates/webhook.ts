import { z } from "@hono/zod-openapi";
import { randomBytes, randomUUID } from "node:crypto";
import { Failure } from "../../failures/failures.ts";
import { listPresentedNotices } from "../../store/hosts/presented.ts";
import { listNotices } from "../../store/certificates/expiry-notices.ts";
import { webhookPlace } from "../../keys/places.ts";
import type { WebhookRow } from "../../store/schema.ts";
import { deleteWebhook, findWebhook, putWebhook } from "../../store/webhooks.ts";
import { list } from "../api/envelope.ts";
import { actorOf } from "../api/auth.ts";
import type { ControlContext } from "../api/context.ts";
import { endpoint, type Endpoint } from "../api/endpoint.ts";
import { Throttle } from "../../network/throttle.ts";
import { deliver, NOT_DELIVERED } from "./webhook-delivery.ts";

const settings = z.object({
  url: z.url({ protocol: /^https?$/ }).max(2048),
  /** `whsec_` and base64 of 24 to 64 bytes. Default: a random one. */
  secret: z
    .string()
    .regex(/^whsec_[A-Za-z0-9+/]{32,88}={0,2}$/, "is not `whsec_` with base64 of 24 to 64 bytes")
    .optional(),
});

/** Test messages of an account: five at once, then one every twelve seconds. */
const TESTS = { burst: 5, everyMs: 12_000 };

/** The webhook through which an account learns about expiring certificates. */
export function webhookEndpoints(context: ControlContext): readonly Endpoint[] {
  const { store, keyring, clock, outbound, log } = context;
  const tests = new Throttle(TESTS);
  const path = "/accounts/{account_id}/countersign/webhook";
  const existing = async (accountId: string): Promise<WebhookRow> => {
    const webhook = await findWebhook(store.db, accountId);
    if (webhook) return webhook;
    throw new Failure("webhook_not_found");
  };
  return [
    endpoint(
      { method: "get", path, summary: "The webhook, without its secret", scope: "ssl_certs:read" },
      async ({ caller }) => ({ result: shown(await existing(caller.accountId)) }),
    ),
    endpoint(
      {
        method: "put",
        path,
        summary: "Set the webhook; its secret is shown in this answer only",
        scope: "ssl_certs:write",
        body: settings,
      },
      async ({ caller, body }) => {
        const { accountId } = caller;
        const secret = body.secret ?? `whsec_${randomBytes(32).toString("base64")}`;
        const { value } = await store.write(async ({ db }) => {
          const webhook = {
            accountId,
            url: body.url,
            sealedSecret: keyring.seal(webhookPlace(accountId), secret),
            updatedOn: clock().toISOString(),
          };
          await putWebhook(db, webhook);
          return {
            value: webhook,
            audit: {
              by: actorOf(caller),
              action: "webhook.set",
              accountId,
              resource: { type: "webhook", id: accountId },
              after: { url: body.url },
            },
          };
        });
        return { result: { ...shown(value), secret } };
      },
    ),
    endpoint(
      { method: "delete", path, summary: "Remove the webhook", scope: "ssl_certs:write" },
      async ({ caller }) => {
        const { accountId } = caller;
        const webhook = await existing(accountId);
        await store.write(async ({ db }) => {
          await deleteWebhook(db, accountId);
          return {
            value: null,
            audit: {
              by: actorOf(caller),
              action: "webhook.delete",
              accountId,
              resource: { type: "webhook", id: accountId },
              before: { url: webhook.url },
            },
          };
        });
        return { result: shown(webhook) };
      },
    ),
    endpoint(
      {
        method: "post",
        path: `${path}/test`,
        summary: "Send a message to the webhook now",
        scope: "ssl_certs:write",
      },
      async ({ caller: { accountId } }) => {
        const webhook = await existing(accountId);
        tests.assertFree(accountId);
        tests.count(accountId);
        const now = clock();
        const body = { type: "webhook.test", timestamp: now.toISOString(), data: {} };
        const message = { id: randomUUID(), body };
        const refusal = await deliver(webhook, message, { keyring, outbound, now });
        if (refusal !== null) log.warn({ accountId }, `the webhook was not told: ${refusal}`);
        const error = refusal === null ? null : NOT_DELIVERED;
        return { result: { delivered: refusal === null, error } };
      },
    ),
    endpoint(
      {
        method: "get",
        path: `${path}/notices`,
        summary: "The last 100 thresholds that were passed, and whether the webhook knows",
        scope: "ssl_certs:read",
      },
      async ({ caller }) => {
        const ofBindings = await listNotices(store.db, caller.accountId);
        const presented = await listPresentedNotices(store.db, caller.accountId);
        const notices = [
          ...ofBindings.map((notice) => ({ ...notice, kind: "binding" })),
          ...presented.map((notice) => ({ ...notice, version: null })),
        ].toSorted((a, b) => b.createdOn.localeCompare(a.createdOn));
        return list(
          notices.slice(0, 100).map((notice) => ({
            id: notice.id,
            kind: notice.kind,
            certificate_id: notice.certificateId,
            version: notice.version,
            threshold: notice.threshold,
            created_on: notice.createdOn,
            attempts: notice.attempts,
            next_attempt_on: notice.nextAttemptOn,
            delivered_on: notice.deliveredOn,
            last_error: notice.lastError,
          })),
        );
      },
    ),
  ];
}

function shown({ url, updatedOn }: WebhookRow): { url: string; updated_on: string } {
  return { url, updated_on: updatedOn };
}
