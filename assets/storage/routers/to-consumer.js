// Hands a queue's batches to the Worker that consumes them, in another process: such calls travel
// within one process alone, so they are made by RPC to a Worker of the platform's that is beside it.

const PAUSE_MS = 250;
/** A batch is leased for 16 minutes, of which the Worker has 5 at least. */
const LONGEST_WAIT_MS = 10 * 60_000;

let running = 0;
const waiting = [];

export default {
  async queue(batch, env) {
    if (running >= env.AT_ONCE) await new Promise((resolve) => waiting.push(resolve));
    else running += 1;
    try {
      await untilItRuns(env);
      settle(batch, await env.EVENTS.deliver(batch.queue, batch.messages.map(plain)));
    } finally {
      const next = waiting.shift();
      if (next === undefined) running -= 1;
      else next();
    }
  },
};

/** A Worker that is being deployed, or has crashed, costs a message none of its attempts. */
async function untilItRuns({ EVENTS }) {
  const until = Date.now() + LONGEST_WAIT_MS;
  for (;;) {
    try {
      if ((await EVENTS.ping()) === "pong") return;
    } catch (error) {
      if (Date.now() > until) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  }
}

const plain = ({ id, timestamp, attempts, body }) => ({ id, timestamp, attempts, body });

/** Says of each message what the Worker said. */
function settle(batch, { outcome, ackAll, retryBatch, explicitAcks, retryMessages }) {
  const acked = new Set(explicitAcks);
  const retried = new Map(retryMessages.map(({ msgId, ...options }) => [msgId, options]));
  for (const message of batch.messages) {
    if (acked.has(message.id)) message.ack();
    else if (retried.has(message.id)) message.retry(optionsOf(retried.get(message.id)));
  }
  if (outcome !== "ok") batch.retryAll();
  else if (retryBatch.retry) batch.retryAll(optionsOf(retryBatch));
  else if (ackAll) batch.ackAll();
}

const optionsOf = ({ delaySeconds }) => (delaySeconds === undefined ? {} : { delaySeconds });
