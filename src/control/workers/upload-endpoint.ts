import { resolveBindings } from "./bindings.ts";
import type { ControlContext } from "../api/context.ts";
import { endpoint, type Endpoint } from "../api/endpoint.ts";
import { byOf, keyOf } from "./lookup.ts";
import type { Publisher, PublishOptions, Published } from "./publisher.ts";
import { readScript } from "./script-upload.ts";
import { shownScript } from "./script-shown.ts";
import { shownVersion } from "./versions.ts";

/** `wrangler deploy` (of a new Worker) and `wrangler versions upload`. */
export function scriptUploadEndpoints(
  { keyring, latestCompatibilityDate }: ControlContext,
  publisher: Publisher,
): readonly Endpoint[] {
  const path = "/accounts/{account_id}/workers/scripts/{script_name}";
  const buildFrom = async (
    form: FormData,
  ): Promise<Pick<PublishOptions, "build" | "tag"> & { notices: readonly string[] }> => {
    const { bindings, keepBindings, notices, ...script } = await readScript(
      form,
      latestCompatibilityDate,
    );
    return {
      notices,
      tag: script.annotations["workers/tag"] ?? "",
      build: ({ newest }, owner) => ({
        ...script,
        bindings: resolveBindings(bindings, owner, {
          keyring,
          before: newest,
          keep: keepBindings,
        }),
      }),
    };
  };
  return [
    endpoint(
      {
        method: "put",
        path,
        summary: "Upload a script and deploy it to all traffic",
        scope: "workers_scripts:write",
        body: "form",
      },
      async (call) => {
        const key = keyOf(call);
        const { notices, ...upload } = await buildFrom(call.body);
        const published = await publisher.publish(key, {
          ...upload,
          ...byOf(call),
          deploy: true,
          create: true,
        });
        return { result: shownUpload(published), messages: notices };
      },
    ),
    endpoint(
      {
        method: "post",
        path: `${path}/versions`,
        summary: "Upload a version without deploying it",
        scope: "workers_scripts:write",
        body: "form",
      },
      async (call) => {
        const key = keyOf(call);
        const { notices, ...upload } = await buildFrom(call.body);
        const { version } = await publisher.publish(key, {
          ...upload,
          ...byOf(call),
          deploy: false,
          create: false,
        });
        return { result: shownVersion(version), messages: notices };
      },
    ),
  ];
}

function shownUpload({ script, version }: Published): object {
  return {
    ...shownScript(script, version),
    entry_point: version.mainModule,
    // wrangler takes the version's id from here.
    deployment_id: version.id,
    startup_time_ms: version.startupTimeMs,
  };
}
