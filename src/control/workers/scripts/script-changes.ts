import type { WorkerModule } from "../../../contract/change-feed.ts";
import { Failure } from "../../../failures/failures.ts";
import { newestVersion, versionSettings } from "../../../store/workers/versions.ts";
import { loadModules, type StoredVersion } from "../../../store/workers/versions.ts";
import { resolveBindings } from "../bindings.ts";
import { carryOverAll } from "../carried-bindings.ts";
import type { ControlContext } from "../../api/context.ts";
import { endpoint, type Endpoint } from "../../api/endpoint.ts";
import { handlersOf } from "./handlers.ts";
import { byOf, existingScript, keyOf } from "../lookup.ts";
import type { Publisher } from "../publisher.ts";
import { featureRefusal, readMetadata } from "./script-metadata.ts";
import { givenSettings } from "./script-settings.ts";
import { shownScript, shownSettings } from "./script-shown.ts";
import {
  annotationsOf,
  compatibilityDate,
  mainModule,
  readModules,
  sentMetadata,
} from "./script-upload.ts";
import { newestOf } from "../secrets.ts";
import { serviceWorkerParts } from "./service-worker.ts";

/** Changes parts of a script, based on its newest version: its bindings and settings, or its code. */
export function scriptChangeEndpoints(
  { store, keyring, latestCompatibilityDate }: ControlContext,
  publisher: Publisher,
): readonly Endpoint[] {
  const path = "/accounts/{account_id}/workers/scripts/{script_name}";
  const scope = "workers_scripts:write";
  return [
    endpoint(
      {
        method: "patch",
        path: `${path}/settings`,
        summary: "Change bindings and settings, and deploy that",
        scope,
        body: "form",
        holdsSecrets: true,
      },
      async (call) => {
        const json = await sentMetadata(call.body, "settings");
        const meta = readMetadata(json);
        if (meta.assets != null) {
          throw featureRefusal("static assets that change without a new upload");
        }
        const isSent = (field: string): boolean => Object.hasOwn(json as object, field);
        const { script, version } = await publisher.publish(keyOf(call), {
          ...byOf(call),
          deploy: true,
          create: false,
          build: async (before, owner) => {
            const newest = newestOf(before, true);
            const { limits, placement, ...rest } = versionSettings(newest);
            const cpu = isSent("limits") ? meta.limits?.cpu_ms : limits?.cpu_ms;
            const place = isSent("placement") ? meta.placement : placement;
            return {
              ...(await codeOf(newest)),
              compatibilityDate: isSent("compatibility_date")
                ? compatibilityDate(meta.compatibility_date, latestCompatibilityDate)
                : newest.compatibilityDate,
              compatibilityFlags: isSent("compatibility_flags")
                ? meta.compatibility_flags
                : newest.compatibilityFlags,
              bindings: isSent("bindings")
                ? resolveBindings(meta.bindings, owner, {
                    keyring,
                    texts: call.texts,
                    before: newest,
                    keep: meta.keep_bindings,
                  })
                : carryOverAll(keyring, newest, owner),
              annotations: annotationsOf(meta.annotations),
              ...(meta.migrations && { migrations: meta.migrations }),
              scriptSettings: givenSettings(meta),
              settings: {
                ...rest,
                ...(cpu !== undefined && { limits: { cpu_ms: cpu } }),
                ...(place && { placement: place }),
              },
            };
          },
        });
        const changed = await existingScript(store.db, call);
        return { result: shownSettings({ ...script, ...changed }, version) };
      },
    ),
    endpoint(
      {
        method: "put",
        path: `${path}/content`,
        summary: "Replace the code, with the bindings and settings as they are",
        scope,
        body: "form",
        holdsSecrets: true,
      },
      async (call) => {
        const header = call.request.headers;
        const part = header.get("cf-worker-body-part");
        const named = part ?? header.get("cf-worker-main-module-part");
        const told =
          named === null ? readMetadata(await sentMetadata(call.body, "metadata")) : null;
        const bodyPart = part ?? told?.body_part;
        const main = bodyPart ?? named ?? told?.main_module ?? "";
        const sent = await readModules(call.body);
        const modules = bodyPart === undefined ? sent : serviceWorkerParts(bodyPart, sent);
        const handlers = handlersOf(mainModule(main, modules));
        const { script, version } = await publisher.publish(keyOf(call), {
          ...byOf(call),
          deploy: true,
          create: false,
          build: (before, owner) => {
            const newest = newestOf(before, true);
            const { limits, placement, assets } = versionSettings(newest);
            return {
              mainModule: main,
              modules,
              compatibilityDate: newest.compatibilityDate,
              compatibilityFlags: newest.compatibilityFlags,
              bindings: carryOverAll(keyring, newest, owner),
              annotations: {},
              settings: {
                ...(bodyPart !== undefined && { service_worker: true as const }),
                ...(limits && { limits }),
                ...(placement && { placement }),
                ...(assets && { assets }),
                ...handlers,
              },
            };
          },
        });
        return { result: shownScript(script, version) };
      },
    ),
    endpoint(
      {
        method: "get",
        path: `${path}/secrets/{secret_name}`,
        summary: "Is there a secret of this name",
        scope: "workers_scripts:read",
      },
      async (call) => {
        const script = await existingScript(store.db, call);
        const newest = await newestVersion(store.db, script.id);
        const name = call.params["secret_name"] ?? "";
        const found = newest?.bindings.some((b) => b.type === "secret_text" && b.name === name);
        if (found) return { result: { name, type: "secret_text" } };
        throw new Failure("secret_not_found", {
          message: `there is no secret "${name.slice(0, 255)}"`,
        });
      },
    ),
  ];

  async function codeOf(
    newest: StoredVersion,
  ): Promise<{ mainModule: string; modules: readonly WorkerModule[] }> {
    const modules = await loadModules(store.db, newest.id);
    return { mainModule: newest.mainModule, modules };
  }
}
