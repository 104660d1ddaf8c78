import type { CapnpValue } from "./capnp.ts";

/** The service to which `caches.default` and `caches.open()` lead. */
export const CACHE = "cache";

/**
 * Keeps nothing, as for Workers at workers.dev on Cloudflare: `match` finds nothing, `put` succeeds. Without it
 * workerd ends the request with an error of its own. It costs 2 MB, so only Workers that name `caches` have one.
 *
 * @param nowhere a service that reaches nothing
 */
export function cacheWorker(nowhere: string): CapnpValue {
  return {
    name: CACHE,
    worker: {
      modules: [{ name: CACHE, esModule: KEEPS_NOTHING }],
      compatibilityDate: "2026-11-01",
      globalOutbound: nowhere,
    },
  };
}

/** The statuses are those that workerd expects for a miss, a body that was taken, and nothing to purge. */
const KEEPS_NOTHING = `
  const statuses = { GET: 504, PUT: 204, PURGE: 404 };
  export default {
    async fetch(request) {
      await request.body?.pipeTo(new WritableStream());
      const status = statuses[request.method] ?? 405;
      return new Response(null, { status, headers: { "cf-cache-status": "MISS" } });
    },
  };`;
