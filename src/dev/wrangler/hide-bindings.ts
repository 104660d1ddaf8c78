import { createRequire } from "node:module";
import { realpathSync } from "node:fs";
import type * as Wrangler from "wrangler";
import type { RawBinding } from "./wrangler.ts";
import { findManifest } from "./wrangler-package.ts";

/**
 * Makes the wrangler that `packageName` has loaded, or is going to, read configurations without
 * these mTLS bindings: it would put its own, which need Cloudflare's network, over ours. To be
 * called before the package reads one. No effect where it is not installed.
 */
export function hideBindings(folder: string, packageName: string, names: readonly string[]): void {
  const manifest = findManifest(folder, packageName);
  if (manifest === null) {
    return;
  }
  const fromPackage = createRequire(realpathSync(manifest));
  const exports = fromPackage("wrangler") as {
    unstable_readConfig: typeof Wrangler.unstable_readConfig;
  };
  const original = exports.unstable_readConfig;
  exports.unstable_readConfig = (...args) => {
    const config = original(...args);
    const certificates = config.mtls_certificates as readonly RawBinding[];
    config.mtls_certificates = certificates.filter(({ binding }) => !names.includes(binding));
    return config;
  };
}
