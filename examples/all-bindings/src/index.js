import { DurableObject } from "cloudflare:workers";

export class Counter extends DurableObject {
  count() {
    return 1;
  }
}

/** Uses each of its bindings, and answers with their results. */
export default {
  async fetch(request, env) {
    if (new URL(request.url).pathname === "/self") return new Response("itself");
    await env.KV.put("k", "v");
    await env.BUCKET.put("k", "v");
    await env.QUEUE.send("job");
    const subject = async (binding) =>
      (await (await binding.fetch(env.ORIGIN)).json()).client.subject;
    return Response.json({
      vars: env.GREETING,
      kv: await env.KV.get("k"),
      d1: (await env.DB.prepare("select 1 as one").first()).one,
      r2: await (await env.BUCKET.get("k")).text(),
      object: await env.COUNTER.getByName("a").count(),
      limit: (await env.LIMIT.limit({ key: "k" })).success,
      service: await (await env.SELF.fetch("http://self/self")).text(),
      version: typeof env.VERSION.id,
      assets: await (await env.ASSETS.fetch("http://localhost/file.txt")).text(),
      one: await subject(env.ONE),
      two: await subject(env.TWO),
    });
  },
};
