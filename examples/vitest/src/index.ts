interface Env {
  BANK: string;
  BANK_CERT: Fetcher;
}

export default {
  async fetch(request, env): Promise<Response> {
    const { pathname } = new URL(request.url);
    const response = await env.BANK_CERT.fetch(new URL(pathname, env.BANK), {
      method: "POST",
      body: request.body,
    });
    const failure = response.headers.get("countersign-failure");
    return failure
      ? Response.json({ accepted: false, failure }, { status: 502 })
      : Response.json({ accepted: response.ok });
  },
} satisfies ExportedHandler<Env>;
