interface Env {
  STOCK: string;
  STOCK_CERT: Fetcher;
}

export default {
  async fetch(request, env): Promise<Response> {
    const { pathname } = new URL(request.url);
    if (pathname.startsWith("/api/")) {
      return env.STOCK_CERT.fetch(new URL(pathname, env.STOCK));
    }
    return new Response(null, { status: 404 });
  },
} satisfies ExportedHandler<Env>;
