// Queues of an account, behind one socket.
import queues, { QueueShard as Bundled } from "./bundled/queues.js";
import { notBound, resourceOf } from "./capability.js";

export class QueueShard extends Bundled {
  /** Nothing of it stays, in the memory neither. */
  async destroy() {
    await this.ctx.storage.deleteAlarm();
    await this.ctx.storage.deleteAll();
    await this.ctx.storage.sync();
    this.ctx.abort("it was emptied");
  }
}

export default {
  async fetch(request, env) {
    const queue = await resourceOf(request, env, "queue");
    if (queue !== null && new URL(request.url).pathname === "/wake") return wake(queue, env);
    if (queue !== null)
      return queues.fetch(delayed(request, queue, env), env, { props: { queue } });
    const emptied = await resourceOf(request, env, "delete-queue");
    if (emptied === null) return notBound();
    for (let full = 0; full < SHARDS_IN_USE; full++) {
      await env.SHARD.getByName(shardOf(emptied, full))
        .destroy()
        .catch((error) => {
          if (!String(error).includes("it was emptied")) throw error;
        });
    }
    return new Response(null);
  },
};

/** Without a consumer, messages wait for no alarm: one that came meanwhile is told to its shards. */
async function wake(queue, env) {
  for (let full = 0; full < SHARDS_IN_USE; full++) {
    const shard = env.SHARD.getByName(shardOf(queue, full));
    const { body } = await shard.call(queue, "/metrics", "v8", 0, null);
    if (JSON.parse(body).backlogCount === 0) break;
  }
  return new Response(null);
}

const DELAY = "x-msg-delay-secs";

/** A message has its own delay, or its binding's, or its queue's. */
function delayed(request, queue, env) {
  if (request.method !== "POST" || request.headers.has(DELAY)) return request;
  const delay = request.headers.get("cs-delay") ?? env.DELAYS[queue];
  if (delay === undefined) return request;
  const headers = new Headers(request.headers);
  headers.set(DELAY, String(delay));
  return new Request(request, { headers });
}

// As the bundled module names them: one, and the next ones where that is full.
const SHARDS_IN_USE = 4;
const SHARDS = 1024;

function shardOf(queue, full) {
  let hash = 0x811c9dc5;
  for (const character of `local/${queue}/${full}`) {
    hash = Math.imul(hash ^ character.charCodeAt(0), 16777619);
  }
  return `${queue}#${(hash >>> 0) % SHARDS}`;
}
