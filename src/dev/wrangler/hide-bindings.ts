import { createRequire } from "node:module";
import { realpathSync } from "node:fs";
import type * as Wrangler from "wrangler";
import { complaining } from "./wrangler-error.ts";
import type { RawBinding, RawDatabase, RawHyperdrive } from "./wrangler.ts";
import { findConfiguration, findManifest } from "./wrangler-package.ts";

export interface HiddenBindings {
  readonly folder: string;
  /** The package whose wrangler reads the configuration. */
  readonly packageName: string;
  readonly environment: string | undefined;
  readonly names: readonly string[];
}

/**
 * Makes the wrangler that `packageName` has loaded, or will load, read configurations without these bindings. Otherwise
 * its own bindings, which need Cloudflare's network, would override ours. Call it before the package reads a
 * configuration. No effect if the package is not installed.
 *
 * @returns the project's `hyperdrive` bindings among the hidden ones
 * @throws WranglerError with wrangler's own message, if the configuration has an error
 */
export function hideBindings(hidden: HiddenBindings): readonly RawDatabase[] {
  const { folder, packageName, environment, names } = hidden;
  const manifest = findManifest(folder, packageName);
  if (manifest === null) {
    return [];
  }
  const fromPackage = createRequire(realpathSync(manifest));
  const exports = fromPackage("wrangler") as {
    unstable_readConfig: typeof Wrangler.unstable_readConfig;
  };
  const original = exports.unstable_readConfig;
  const config = findConfiguration(folder);
  const found =
    config === undefined
      ? null
      : complaining(() => original({ config, env: environment }, { hideWarnings: true }));
  exports.unstable_readConfig = (...args) => {
    const read = original(...args);
    const certificates = read.mtls_certificates as readonly RawBinding[];
    read.mtls_certificates = certificates.filter(({ binding }) => !names.includes(binding));
    const hyperdrive = read.hyperdrive as readonly RawHyperdrive[];
    read.hyperdrive = hyperdrive.filter(({ binding }) => !names.includes(binding));
    return read;
  };
  const databases = (found?.hyperdrive ?? []) as readonly RawHyperdrive[];
  return databases
    .filter(({ binding }) => names.includes(binding))
    .map(({ binding, localConnectionString }) => ({ name: binding, localConnectionString }));
}
