// KV namespaces of an account, behind one socket.
import kv, { KVNamespace as Bundled } from "./bundled/kv.js";
import { notBound, resourceOf } from "./capability.js";

export class KVNamespace extends Bundled {
  /** It was deleted: nothing of it stays. */
  async destroy() {
    await this.ctx.storage.deleteAlarm();
    await this.ctx.storage.deleteAll();
  }
}

export default {
  async fetch(request, env) {
    const namespace = await resourceOf(request, env, "kv");
    if (namespace !== null) return kv.fetch(request, env, { props: { namespace } });
    const deleted = await resourceOf(request, env, "delete-kv");
    if (deleted === null) return notBound();
    const id = env.SHARD.idFromName(deleted);
    await env.SHARD.get(id).destroy();
    await env.BLOBS.fetch(`http://blobs/${id}`, { method: "DELETE" });
    return new Response(null);
  },
};
