// Hands a queue's batches to the Worker that consumes them, in another process: such calls travel
// within one process alone, so they are made by RPC to a Worker of the platform's that is beside it.

const PAUSE_MS = 250;
/** A batch is leased for 16 minutes, of which the Worker has 5 at least. */
const LONGEST_WAIT_MS = 10 * 60_000;

/** A call that lasts longer has failed, as on Cloudflare: others get its turn. */
const LONGEST_RUN_MS = 15 * 60_000;

/** When each call's turn is over, whether it has ended or not: of a call that was cut off nothing is heard. */
const running = new Map();
const waiting = new Set();

export default {
  async queue(batch, env) {
    const turn = await begun(env.AT_ONCE);
    try {
      await untilItRuns(env);
      running.set(turn, Date.now() + LONGEST_RUN_MS);
      settle(batch, await inTime(env.EVENTS.deliver(batch.queue, batch.messages.map(plain))));
    } finally {
      running.delete(turn);
      const [next] = waiting;
      waiting.delete(next);
      next?.();
    }
  },
};

async function begun(atOnce) {
  for (;;) {
    for (const [turn, until] of running) if (until <= Date.now()) running.delete(turn);
    if (running.size < atOnce) break;
    let free;
    const ended = new Promise((resolve) => waiting.add((free = resolve)));
    await Promise.race([ended, new Promise((resolve) => setTimeout(resolve, PAUSE_MS))]);
    waiting.delete(free);
  }
  const turn = {};
  running.set(turn, Date.now() + LONGEST_WAIT_MS + LONGEST_RUN_MS);
  return turn;
}

async function inTime(delivered) {
  let timer;
  const late = new Promise((resolve) => {
    timer = setTimeout(() => resolve({ outcome: "exceededWallTime", ...NOTHING }), LONGEST_RUN_MS);
  });
  try {
    return await Promise.race([delivered, late]);
  } finally {
    clearTimeout(timer);
  }
}

const NOTHING = {
  ackAll: false,
  retryBatch: { retry: false },
  explicitAcks: [],
  retryMessages: [],
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
