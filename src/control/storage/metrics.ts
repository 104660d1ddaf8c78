import { endpoint, type Endpoint } from "../api/endpoint.ts";

/**
 * The usage figures that `wrangler d1 info` and `wrangler r2 bucket info` ask for. Nothing is counted here, so the
 * answer is empty. `wrangler delete` asks which containers a Worker with Durable Objects has.
 */
export function usageEndpoints(): readonly Endpoint[] {
  return [
    endpoint(
      {
        method: "post",
        path: "/graphql",
        summary: "Usage: none is counted",
        scope: "workers_scripts:read",
      },
      () =>
        Response.json({
          success: true,
          errors: [],
          messages: [],
          result: null,
          data: { viewer: { accounts: [{}] } },
        }),
    ),
    endpoint(
      {
        method: "get",
        path: "/accounts/{account_id}/containers/applications",
        summary: "Containers: there are none",
        scope: "workers_scripts:read",
      },
      () => ({ result: [] }),
    ),
  ];
}
