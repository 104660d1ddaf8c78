// Resources of Miniflare's that are a Durable Object each (R2 buckets, rate limits), behind one socket.
import { notBound, resourceOf } from "./capability.js";

export default {
  async fetch(request, env) {
    const id = await resourceOf(request, env, env.KIND);
    if (id !== null) return objectOf(id, env).fetch(request, { cf: { miniflare: { name: id } } });
    const deleted = await resourceOf(request, env, `delete-${env.KIND}`);
    if (deleted === null) return notBound();
    await objectOf(deleted, env)
      .fetch("http://object/", { cf: { countersign: { destroys: true } } })
      .catch((error) => {
        if (!String(error).includes("it was emptied")) throw error;
      });
    await env.BLOBS.fetch(`http://blobs/${deleted}`, { method: "DELETE" });
    return new Response(null);
  },
};

const objectOf = (id, env) => env.OBJECT.get(env.OBJECT.idFromName(id));
