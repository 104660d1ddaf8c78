import type { QueueConfig, QueueConsumer } from "../../contract/queue.ts";
import type { CapnpValue } from "../config/capnp.ts";
import { DATE, disk, routed } from "./data-config.ts";
import { bundled, module } from "./modules.ts";

/**
 * The process that keeps an account's queues. The account's other data have a separate process, which keeps running
 * while this one is started again because consumers changed.
 */
export const queueProcess = {
  folders: ["queues"],
  files: ["routers/capability.js", "routers/queue.js", "routers/to-consumer.js"],
  sockets: ["queue"],
} as const;

/** @param consumers in the order of their sockets, see `consumerSocket` */
export function queueServices(
  queues: readonly QueueConfig[],
  consumers: readonly ConsumedQueue[],
): readonly CapnpValue[] {
  const delays = queues.filter(({ deliveryDelay }) => deliveryDelay > 0);
  return [
    disk("queues"),
    routed(
      "queue",
      [bundled("queues.js")],
      {
        className: "QueueShard",
        binding: "SHARD",
        disk: "queues",
        more: [
          json("CONSUMERS", Object.fromEntries(consumers.map(settings))),
          json("DELAYS", Object.fromEntries(delays.map((one) => [one.name, one.deliveryDelay]))),
          ...consumers.map((_, i) => ({ name: `to${i}`, service: `to ${i}` })),
        ],
      },
      ["service_binding_extra_handlers"],
    ),
    ...consumers.flatMap(({ consumer }, i) => [
      {
        name: `to ${i}`,
        worker: {
          modules: [module("routers/to-consumer.js")],
          compatibilityDate: DATE,
          bindings: [
            { name: "EVENTS", service: `events ${i}` },
            json("AT_ONCE", consumer.maxConcurrency),
          ],
        },
      },
      {
        name: `events ${i}`,
        external: { address: `unix:${consumerSocket(i)}`, http: { capnpConnectHost: "rpc" } },
      },
    ]),
  ];
}

export type ConsumedQueue = QueueConfig & { readonly consumer: QueueConsumer };

/** The path, in the process's folder, of the socket at which a consumer is reached. */
export function consumerSocket(index: number): string {
  return `c${index}`;
}

function settings({ name, consumer }: ConsumedQueue, index: number): readonly [string, object] {
  const { maxBatchSize, maxBatchTimeout, maxRetries, retryDelay, deadLetterQueue } = consumer;
  const to = { consumer: `to${index}`, maxBatchSize, maxBatchTimeout, maxRetries, retryDelay };
  return [name, { ...to, ...(deadLetterQueue !== null && { deadLetterQueue }) }];
}

function json(name: string, value: unknown): CapnpValue {
  return { name, json: JSON.stringify(value) };
}
