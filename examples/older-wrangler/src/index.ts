interface Env {
  ORIGIN: string;
  CACHE: KVNamespace;
  MY_CERT: Fetcher;
}

export default {
  async fetch(_request, env): Promise<Response> {
    const response = await env.MY_CERT.fetch(env.ORIGIN);
    await env.CACHE.put("status", String(response.status));
    return new Response(response.body, response);
  },
} satisfies ExportedHandler<Env>;
