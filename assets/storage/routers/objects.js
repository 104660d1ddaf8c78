// Resources of Miniflare's that are a Durable Object each (R2 buckets, rate limits), behind one socket.
import { notBound, resourceOf } from "./capability.js";

export default {
  async fetch(request, env) {
    const id = await resourceOf(request, env, env.KIND);
    if (id === null) return notBound();
    const stub = env.OBJECT.get(env.OBJECT.idFromName(id));
    return stub.fetch(request, { cf: { miniflare: { name: id } } });
  },
};
