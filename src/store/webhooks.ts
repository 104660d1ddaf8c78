import type { WebhookRow } from "./schema.ts";
import type { Database } from "./database.ts";

export function findWebhook(db: Database, accountId: string): Promise<WebhookRow | undefined> {
  return db
    .selectFrom("webhooks")
    .selectAll()
    .where("accountId", "=", accountId)
    .executeTakeFirst();
}

/** Replaces the one the account has. */
export async function putWebhook(db: Database, webhook: WebhookRow): Promise<void> {
  const { url, sealedSecret, updatedOn } = webhook;
  await db
    .insertInto("webhooks")
    .values(webhook)
    .onConflict((o) => o.column("accountId").doUpdateSet({ url, sealedSecret, updatedOn }))
    .execute();
}

/** @returns false if there was none */
export async function deleteWebhook(db: Database, accountId: string): Promise<boolean> {
  const { numDeletedRows } = await db
    .deleteFrom("webhooks")
    .where("accountId", "=", accountId)
    .executeTakeFirst();
  return numDeletedRows > 0n;
}
