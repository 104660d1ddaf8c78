import type { TestHarness, TestHarnessOptions } from "wrangler";
import type { Mtls } from "./mtls.ts";
import { loadWrangler } from "./wrangler/wrangler.ts";

export * from "./miniflare.ts";

/**
 * wrangler's `createTestHarness`, with the mTLS bindings of its Workers. Bindings that are not given to `mtls()`
 * present a certificate of the project's development CA.
 * @throws Failure `dev_wrangler_missing`, `dev_wrangler_unsupported`
 */
export async function createTestHarness(
  options: TestHarnessOptions,
  { socketOf }: Pick<Mtls, "socketOf">,
): Promise<TestHarness> {
  const wrangler = await loadWrangler(options.root ?? process.cwd());
  const harness = wrangler.createTestHarness(options);
  let listening: ReturnType<TestHarness["listen"]> | null = null;
  return {
    ...harness,
    // A second call starts no second server.
    listen: () => (listening ??= wrangler.withBindings(socketOf, () => harness.listen())),
    reset: () => wrangler.withBindings(socketOf, () => harness.reset()),
    close: () => {
      listening = null;
      return harness.close();
    },
  };
}
