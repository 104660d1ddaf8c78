/** A queue of an account, as the edge delivers its messages. */
export interface QueueConfig {
  /** Its data are under it. */
  readonly name: string;
  /** Seconds that its messages wait if neither the message nor the binding says. */
  readonly deliveryDelay: number;
  /** Null: there is none, or it is paused; messages wait. */
  readonly consumer: QueueConsumer | null;
}

export interface QueueConsumer {
  readonly scriptName: string;
  /** Another queue. Null: messages without attempts left are dropped. */
  readonly deadLetterQueue: string | null;
  /** Messages, 1 to 100. */
  readonly maxBatchSize: number;
  /** Seconds, 0 to 60. */
  readonly maxBatchTimeout: number;
  /** 0 to 100. */
  readonly maxRetries: number;
  /** Seconds before a message is delivered again, unless the Worker says. */
  readonly retryDelay: number;
  /** Batches at once. */
  readonly maxConcurrency: number;
}
