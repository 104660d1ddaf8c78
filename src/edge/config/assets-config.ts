import type { AssetsConfig } from "../../contract/assets.ts";
import type { CapnpValue } from "./capnp.ts";

interface Served {
  readonly assets?: AssetsConfig | null;
  readonly modules: readonly unknown[];
  readonly compatibilityDate: string;
  readonly compatibilityFlags: readonly string[];
}

/** What answers a Worker's requests: its files and then its code, or the one of them that it has. */
export function front({ assets }: Pick<Served, "assets">): string {
  return assets == null ? "main" : ASSETS;
}

/** A Worker may have files alone. */
export function hasCode({ assets, modules }: Pick<Served, "assets" | "modules">): boolean {
  return assets == null || modules.length > 0;
}

/** workerd serves the folder as Cloudflare does. */
export function assetServices(version: Served, folder: string): readonly CapnpValue[] {
  if (version.assets == null) return [];
  const { compatibilityDate, compatibilityFlags } = version;
  const behaves = hasCode(version)
    ? { userWorker: "main" }
    : { compatibilityDate, compatibilityFlags };
  const config = JSON.stringify(version.assets);
  return [{ name: ASSETS, assets: { path: folder, config, ...behaves } }];
}

const ASSETS = "assets";

/** What a binding leads to: it never runs the Worker's code. */
export const FILES_ALONE: CapnpValue = { name: ASSETS, entrypoint: "AssetWorker" };
