import type { DevOrigin, OriginFaults } from "./origin.ts";

export * from "./miniflare.ts";

/** The name under which tests in a Worker reach `originControl`. */
export const originBinding = "COUNTERSIGN_ORIGIN";

/**
 * Tests of `@cloudflare/vitest-plugin` run inside a Worker, the origin in Node: this, among
 * `serviceBindings`, is how they ask it what it saw, and tell it how to fail. See `originOf` of
 * `countersign/vitest/worker`.
 */
export function originControl(
  origin: DevOrigin,
): Record<typeof originBinding, (request: { json(): Promise<unknown> }) => Promise<Response>> {
  return {
    [originBinding]: async (request) => {
      const { fail } = (await request.json()) as { fail?: OriginFaults };
      if (fail) {
        await origin.fail(fail);
      }
      return Response.json({ url: origin.url, requests: origin.requests });
    },
  };
}
