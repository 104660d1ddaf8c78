import { resolve } from "node:path";
import { openMtls, type Mtls, type MtlsBindingOptions, type MtlsOptions } from "./mtls.ts";
import type { DevOrigin, OriginFaults } from "./origin.ts";
import { hideBindings } from "./wrangler/hide-bindings.ts";

export { mtlsDatabase, mtlsOrigin } from "./mtls.ts";
export type { Mtls, MtlsBindingOptions, MtlsFailure, MtlsOptions } from "./mtls.ts";
export type { MtlsDatabaseOptions, MtlsOriginOptions } from "./mtls.ts";
export type { DevDatabase } from "./database.ts";
export type { DevOrigin, OriginFaults } from "./origin.ts";
export type { SeenCertificate, SeenRequest } from "./seen.ts";

/**
 * Opens mTLS bindings for `vitest.config.ts`: `miniflare: { serviceBindings, unsafeBindings }` of `cloudflareTest()`.
 * The Wrangler configuration may have the same bindings. The `localConnectionString` of a `hyperdrive` binding is used
 * if no other is given.
 * @throws Failure if a certificate or a connection string is not usable
 */
export async function mtls(
  bindings: Readonly<Record<string, MtlsBindingOptions>>,
  options: MtlsOptions = {},
): Promise<Mtls> {
  const plugins = ["@cloudflare/vitest-plugin", "@cloudflare/vitest-pool-workers"];
  const configured = plugins.flatMap((packageName) =>
    hideBindings({
      folder: resolve(options.project ?? "."),
      packageName,
      environment: options.environment,
      names: Object.keys(bindings),
    }),
  );
  return openMtls(bindings, options, configured);
}

/** A Vite plugin that closes bindings and origins together with Vitest, which waits for them to close. */
export function closing(...open: readonly AsyncDisposable[]): {
  readonly name: string;
  buildEnd(): Promise<void>;
} {
  return {
    name: "countersign:closing",
    buildEnd: async () => {
      await Promise.all(open.map(async (one) => one[Symbol.asyncDispose]()));
    },
  };
}

/** The name of the binding through which tests in a Worker reach `originControl`. */
export const originBinding = "COUNTERSIGN_ORIGIN";

/**
 * Tests of `@cloudflare/vitest-plugin` run inside a Worker, the origin in Node. With this among `serviceBindings`, such
 * a test asks the origin what it saw, and tells it how to fail. See `originOf` of `countersign/vitest/worker`.
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
