import type { ScriptRow } from "../../../store/schema.ts";
import { type StoredVersion, versionSettings } from "../../../store/workers/versions.ts";
import { shownBinding } from "../binding-shown.ts";
import { settingsOf } from "./script-settings.ts";

/** A script as shown in a list and after an upload. */
export function shownScript(script: ScriptRow, version: StoredVersion | null): object {
  const {
    handlers = [],
    named_handlers: named = [],
    service_worker: isServiceWorker,
    placement,
    assets,
  } = version ? versionSettings(version) : {};
  return {
    id: script.name,
    tag: script.id,
    ...settingsOf(script),
    created_on: script.createdOn,
    modified_on: script.modifiedOn,
    usage_model: "standard",
    has_modules: version === null || (version.mainModule !== "" && isServiceWorker !== true),
    has_assets: assets !== undefined,
    handlers,
    named_handlers: named,
    ...(script.migrationTag != null && { migration_tag: script.migrationTag }),
    ...(placement && Object.keys(placement).length > 0 && { placement }),
    ...(version && {
      etag: version.etag,
      compatibility_date: version.compatibilityDate,
      compatibility_flags: version.compatibilityFlags,
      last_deployed_from: version.source,
    }),
  };
}

/**
 * A script's settings with those of its newest version. Cloudflare sends `placement` even if it is empty, and its
 * Terraform provider crashes without it.
 */
export function shownSettings(script: ScriptRow, version: StoredVersion | null): object {
  const { limits, placement = {} } = version ? versionSettings(version) : {};
  return {
    ...settingsOf(script),
    bindings: (version?.bindings ?? []).map(shownBinding),
    compatibility_date: version?.compatibilityDate ?? "",
    compatibility_flags: version ? version.compatibilityFlags : [],
    usage_model: "standard",
    placement,
    annotations: version?.annotations ?? {},
    ...(limits && { limits }),
  };
}
