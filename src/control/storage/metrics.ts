import { endpoint, type Endpoint } from "../api/endpoint.ts";

/**
 * What `wrangler d1 info` and `wrangler r2 bucket info` ask beside the API: how much was used of
 * what is billed. Nothing is counted here, so nothing is shown.
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
  ];
}
