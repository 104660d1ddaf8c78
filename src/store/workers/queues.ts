import type { QueueConfig, QueueConsumer } from "../../contract/queue.ts";
import type { Database } from "../database.ts";
import { listResources } from "../resources.ts";
import type { QueueConsumerRow } from "../schema.ts";

export interface QueueSettings {
  readonly delivery_delay?: number;
  readonly delivery_paused?: boolean;
}

export type FoundConsumer = QueueConsumerRow & { readonly scriptName: string };

/** Of every queue of the account. */
export function consumersOfAccount(db: Database, accountId: string): Promise<FoundConsumer[]> {
  return db
    .selectFrom("queueConsumers as c")
    .innerJoin("scripts as s", "s.id", "c.scriptId")
    .selectAll("c")
    .select("s.name as scriptName")
    .where("s.accountId", "=", accountId)
    .execute();
}

export function consumersOfScript(db: Database, scriptId: string): Promise<QueueConsumerRow[]> {
  return db.selectFrom("queueConsumers").selectAll().where("scriptId", "=", scriptId).execute();
}

export async function insertConsumer(db: Database, row: QueueConsumerRow): Promise<void> {
  await db.insertInto("queueConsumers").values(row).execute();
}

export async function updateConsumer(
  db: Database,
  id: string,
  change: Partial<Pick<QueueConsumerRow, "scriptId" | "deadLetterQueue" | "settings">>,
): Promise<void> {
  await db.updateTable("queueConsumers").set(change).where("id", "=", id).execute();
}

export async function deleteConsumer(db: Database, id: string): Promise<void> {
  await db.deleteFrom("queueConsumers").where("id", "=", id).execute();
}

/** As the edge delivers them. */
export async function queuesOfAccount(db: Database, accountId: string): Promise<QueueConfig[]> {
  const consumers = await consumersOfAccount(db, accountId);
  const queues = await listResources(db, accountId, "queue");
  return queues.map(({ id, name, settings }) => {
    const { delivery_delay: delay = 0, delivery_paused: isPaused } = settings as QueueSettings;
    const found = isPaused === true ? undefined : consumers.find(({ queueId }) => queueId === id);
    return { name, deliveryDelay: delay, consumer: found === undefined ? null : consumerOf(found) };
  });
}

function consumerOf({ scriptName, deadLetterQueue, settings }: FoundConsumer): QueueConsumer {
  return {
    scriptName,
    deadLetterQueue,
    maxBatchSize: settings.batch_size ?? 10,
    maxBatchTimeout: (settings.max_wait_time_ms ?? 5_000) / 1000,
    maxRetries: settings.max_retries ?? 3,
    retryDelay: settings.retry_delay ?? 0,
    maxConcurrency: settings.max_concurrency ?? 8,
  };
}
