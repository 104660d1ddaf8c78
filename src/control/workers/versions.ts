import { z } from "@hono/zod-openapi";
import {
  listVersions,
  loadModules,
  newestVersion,
  type StoredVersion,
} from "../../store/workers/versions.ts";
import { hasPreviews } from "../../store/workers/previews.ts";
import { currentDeployment } from "../../store/workers/deployments.ts";
import { Failure } from "../../failures/failures.ts";
import { shownBinding } from "./binding-shown.ts";
import { pageInfo } from "../api/envelope.ts";
import type { ControlContext } from "../api/context.ts";
import { endpoint, type Endpoint } from "../api/endpoint.ts";
import { existingScript, existingVersion } from "./lookup.ts";
import { scriptContent } from "./scripts/script-content.ts";

const page = z.object({
  page: z.coerce.number().int().min(1).default(1),
  per_page: z.coerce.number().int().min(1).max(100).default(25),
  deployable: z.string().optional(),
});

/** `wrangler versions list` and `view`, and the content of a script. */
export function versionEndpoints({ store }: ControlContext): readonly Endpoint[] {
  const path = "/accounts/{account_id}/workers/scripts/{script_name}";
  const scope = "workers_scripts:read";
  const content = async (call: Parameters<typeof existingScript>[1]): Promise<Response> => {
    const script = await existingScript(store.db, call);
    const current = await currentDeployment(store.db, script.id);
    const [share] = current?.versions ?? [];
    const version = share
      ? await existingVersion(store.db, script, share.versionId)
      : await newestVersion(store.db, script.id);
    if (!version) throw new Failure("no_versions");
    return scriptContent(version, await loadModules(store.db, version.id));
  };
  return [
    endpoint(
      { method: "get", path: `${path}/versions`, summary: "List versions", scope, query: page },
      async (call) => {
        const script = await existingScript(store.db, call);
        const { page: number, per_page: perPage } = call.query;
        const versions = await listVersions(store.db, script.id, { page: number, perPage });
        const isPreviewed = await hasPreviews(store.db, script);
        const total = (await newestVersion(store.db, script.id))?.number ?? 0;
        return {
          result: { items: versions.map((version) => shownVersion(version, isPreviewed)) },
          resultInfo: pageInfo({ page: number, perPage, count: versions.length, total }),
        };
      },
    ),
    endpoint(
      { method: "get", path: `${path}/versions/{version_id}`, summary: "One version", scope },
      async (call) => {
        const script = await existingScript(store.db, call);
        const version = await existingVersion(store.db, script, call.params["version_id"] ?? "");
        return { result: shownVersion(version, await hasPreviews(store.db, script)) };
      },
    ),
    endpoint({ method: "get", path, summary: "The modules of a script", scope }, content),
    // Cloudflare's first path, and the one that wrangler and the SDKs use.
    ...["content", "content/v2"].map((last) =>
      endpoint(
        { method: "get", path: `${path}/${last}`, summary: "The modules of a script", scope },
        content,
      ),
    ),
  ];
}

/**
 * A version as Cloudflare shows it. A secret shows only its name.
 * @param hasPreview whether the version answers at its own host
 */
export function shownVersion(version: StoredVersion, hasPreview: boolean): object {
  return {
    id: version.id,
    number: version.number,
    metadata: {
      created_on: version.createdOn,
      modified_on: version.createdOn,
      source: version.source,
      author_email: version.author,
      has_preview: hasPreview,
    },
    annotations: version.annotations,
    resources: {
      bindings: version.bindings.map(shownBinding),
      script: { etag: version.etag, last_deployed_from: version.source },
      script_runtime: {
        compatibility_date: version.compatibilityDate,
        compatibility_flags: version.compatibilityFlags,
        usage_model: "standard",
      },
    },
    startup_time_ms: version.startupTimeMs,
  };
}
