import { z } from "@hono/zod-openapi";
import type { AssetsConfig } from "../../../contract/assets.ts";
import { Failure } from "../../../failures/failures.ts";
import { findSession, readManifest } from "../../../store/workers/assets.ts";
import type { VersionAssets } from "../../../store/schema.ts";
import { type StoredVersion, versionSettings } from "../../../store/workers/versions.ts";
import type { ControlContext } from "../../api/context.ts";
import type { BindingOwner } from "../carried-bindings.ts";

/** Characters, with Cloudflare's limit. */
const rules = z.string().max(100_000);
const pattern = z.string().min(1).max(100);

interface SentConfig {
  readonly html_handling?: string | null | undefined;
  readonly not_found_handling?: string | null | undefined;
  readonly base_path?: string | null | undefined;
  readonly run_worker_first?: boolean | readonly string[] | null | undefined;
  readonly _headers?: string | null | undefined;
  readonly _redirects?: string | null | undefined;
}

export interface SentAssets {
  /** The token that completes an upload session. */
  readonly jwt?: string | null | undefined;
  readonly config?: SentConfig | null | undefined;
}

const config: z.ZodType<SentConfig> = z.strictObject({
  html_handling: z
    .enum(["auto-trailing-slash", "force-trailing-slash", "drop-trailing-slash", "none"])
    .nullish(),
  not_found_handling: z.enum(["single-page-application", "404-page", "none"]).nullish(),
  base_path: z.string().max(1000).nullish(),
  run_worker_first: z.union([z.boolean(), z.array(pattern).max(100)]).nullish(),
  _headers: rules.nullish(),
  _redirects: rules.nullish(),
});

export const sentAssets: z.ZodType<SentAssets> = z.strictObject({
  jwt: z.string().max(4096).nullish(),
  config: config.nullish(),
});

interface Wanted {
  readonly assets?: SentAssets | null | undefined;
  readonly keep_assets?: boolean | null | undefined;
}

/**
 * The assets of a new version, from the upload's metadata and the files that were uploaded before it.
 *
 * @param newest the version from which `keep_assets` takes files
 * @throws Failure `assets_session_unknown`, `assets_incomplete`, `assets_missing`
 */
export async function resolveAssets(
  { store, edge, clock }: Pick<ControlContext, "store" | "edge" | "clock">,
  { assets, keep_assets: keeps }: Wanted,
  { owner, newest }: { readonly owner: BindingOwner; readonly newest: StoredVersion | null },
): Promise<{ readonly assets?: VersionAssets }> {
  const before = newest === null ? undefined : versionSettings(newest).assets;
  const sent = assets?.config;
  if (typeof assets?.jwt !== "string") {
    if (keeps === true && before !== undefined) {
      return { assets: sent == null ? before : { ...before, config: asKept(sent) } };
    }
    if (assets == null) return {};
    throw new Failure("assets_missing");
  }
  const { accountId, scriptName } = owner;
  const session = await findSession(store.db, assets.jwt);
  const isOwn = session?.accountId === accountId && session.scriptName === scriptName;
  if (!isOwn || new Date(session.expiresOn) <= clock()) throw new Failure("assets_session_unknown");
  const files = await readManifest(store.db, accountId, session.manifestId);
  const missing = (await edge.assets?.missing(accountId, files)) ?? files;
  if (missing.length > 0) {
    throw new Failure("assets_incomplete", {
      message: `${missing.length} of ${files.length} static assets were not uploaded`,
      facts: { missing: missing.length },
    });
  }
  return { assets: { manifest: session.manifestId, config: asKept(sent ?? {}) } };
}

function asKept({ _headers, _redirects, ...rest }: SentConfig): AssetsConfig {
  const all = { ...rest, headers: _headers, redirects: _redirects };
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value != null));
}
