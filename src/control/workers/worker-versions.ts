import { z } from "@hono/zod-openapi";
import type { WorkerModule } from "../../contract/change-feed.ts";
import { Failure } from "../../failures/failures.ts";
import {
  listVersions,
  newestVersion,
  type StoredVersion,
  versionSettings,
} from "../../store/workers/versions.ts";
import { resolveAssets } from "./assets/assets-metadata.ts";
import { resolveBindings } from "./bindings.ts";
import { shownBinding } from "./binding-shown.ts";
import { pageInfo } from "../api/envelope.ts";
import type { ControlContext } from "../api/context.ts";
import { oneLine } from "../api/text.ts";
import { endpoint, type Endpoint } from "../api/endpoint.ts";
import { byOf, existingVersion } from "./lookup.ts";
import type { Publisher } from "./publisher.ts";
import { assertAlias } from "./preview-alias.ts";
import { readMetadata } from "./scripts/script-metadata.ts";
import { moduleType, scriptOf } from "./scripts/script-upload.ts";
import { existingWorker } from "./workers.ts";

const sentModule = z.object({
  name: z.string().max(1024),
  content_type: oneLine,
  content_base64: z.base64(),
});
/** Read by the same rules as the metadata of an upload, which has the same fields. */
const upload = z.object({ modules: z.array(sentModule).max(1000).default([]) }).loose();

/** Versions as JSON, as Terraform's `cloudflare_worker_version` and the SDK's `workers.beta` send them. */
export function workerVersionEndpoints(
  context: ControlContext,
  publisher: Publisher,
): readonly Endpoint[] {
  const { store, keyring, latestCompatibilityDate, limits } = context;
  const path = "/accounts/{account_id}/workers/workers/{script_name}/versions";
  const read = "workers_scripts:read";
  return [
    endpoint(
      {
        method: "post",
        path,
        summary: "Upload a version, its modules in base64",
        scope: "workers_scripts:write",
        body: upload,
        holdsSecrets: true,
        bodyLimit: limits.script * 1.5,
      },
      async (call) => {
        const { name } = await existingWorker(store.db, call);
        const { modules: sent, ...rest } = call.body;
        // JSON has null for fields without a value. `deploy` comes from the query.
        const meta = readMetadata(withoutNulls(rest));
        const modules = sent.map(
          ({ name: module, content_type: type, content_base64: content }): WorkerModule => ({
            name: module,
            type: moduleType(module, type),
            content: Buffer.from(content, "base64"),
          }),
        );
        const {
          bindings,
          keepBindings,
          notices,
          sentAssets,
          scriptSettings: _,
          ...script
        } = scriptOf(meta, modules, latestCompatibilityDate);
        const key = { accountId: call.caller.accountId, scriptName: name };
        assertAlias(script.annotations, name);
        const { version } = await publisher.publish(key, {
          ...byOf(call),
          deploy: new URL(call.request.url).searchParams.get("deploy") === "true",
          create: false,
          tag: script.annotations["workers/tag"] ?? "",
          build: async ({ newest }, owner) => ({
            ...script,
            settings: {
              ...script.settings,
              ...(await resolveAssets(context, sentAssets, { owner, newest })),
            },
            bindings: resolveBindings(bindings, owner, {
              keyring,
              texts: call.texts,
              before: newest,
              keep: keepBindings,
            }),
          }),
        });
        return { result: shown(version), messages: notices };
      },
    ),
    endpoint(
      { method: "get", path, summary: "List a Worker's versions", scope: read },
      async (call) => {
        const script = await existingWorker(store.db, call);
        const total = (await newestVersion(store.db, script.id))?.number ?? 0;
        const search = new URL(call.request.url).searchParams;
        const page = Number(search.get("page") ?? 1);
        const perPage = Math.min(Number(search.get("per_page") ?? 25), 100);
        const versions = await listVersions(store.db, script.id, { page, perPage });
        return {
          result: versions.map(shown),
          resultInfo: pageInfo({ page, perPage, count: versions.length, total }),
        };
      },
    ),
    endpoint(
      {
        method: "get",
        path: `${path}/{version_id}`,
        summary: "One version of a Worker",
        scope: read,
      },
      async (call) => {
        const script = await existingWorker(store.db, call);
        const id = call.params["version_id"] ?? "";
        const version =
          id === "latest"
            ? await newestVersion(store.db, script.id)
            : await existingVersion(store.db, script, id);
        if (!version) throw new Failure("no_versions");
        return { result: shown(version) };
      },
    ),
    endpoint(
      {
        method: "delete",
        path: `${path}/{version_id}`,
        summary: "Delete a version of a Worker: refused",
        scope: "workers_scripts:write",
      },
      async (call) => {
        const script = await existingWorker(store.db, call);
        await existingVersion(store.db, script, call.params["version_id"] ?? "");
        throw new Failure("feature_unsupported", {
          message: "versions are kept until their Worker is deleted: rollbacks need them",
          fix: "Leave it; it takes no traffic unless it is deployed.",
        });
      },
    ),
  ];
}

function withoutNulls(fields: Readonly<Record<string, unknown>>): object {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== null));
}

function shown(version: StoredVersion): object {
  const { limits } = versionSettings(version);
  return {
    id: version.id,
    number: version.number,
    created_on: version.createdOn,
    source: version.source,
    author_email: version.author,
    annotations: version.annotations,
    // As at Cloudflare: for Terraform an empty list differs from none.
    ...(version.bindings.length > 0 && { bindings: version.bindings.map(shownBinding) }),
    compatibility_date: version.compatibilityDate,
    compatibility_flags: version.compatibilityFlags,
    main_module: version.mainModule,
    startup_time_ms: version.startupTimeMs,
    usage_model: "standard",
    urls: [],
    ...(limits && { limits }),
  };
}
