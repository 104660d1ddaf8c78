import { resolveOrRefuse } from "../bindings.ts";
import { Failure } from "../../../failures/failures.ts";
import type { SecretTexts } from "../../../keys/secret-texts.ts";
import type { ControlContext } from "../../api/context.ts";
import { endpoint, type Endpoint } from "../../api/endpoint.ts";
import { byOf, keyOf } from "../lookup.ts";
import type { Publisher, PublishOptions, Published } from "../publisher.ts";
import { resolveAssets } from "../assets/assets-metadata.ts";
import { announcesAssets, configurationRefusals, configuredMigrations } from "../configuration.ts";
import { assertAlias } from "../preview-alias.ts";
import { Refusals } from "../refusals.ts";
import { readScript } from "./script-upload.ts";
import { shownScript } from "./script-shown.ts";
import { hasPreviews } from "../../../store/workers/previews.ts";
import { shownVersion } from "../versions.ts";

interface Checked {
  readonly refusals?: Refusals;
  /** Whether the project has static assets, which a dry run does not upload. */
  readonly announced?: boolean;
}

const NO_FILES = { assets: { manifest: "", config: {} } };

/** `wrangler deploy` (of a new Worker) and `wrangler versions upload`. */
export function scriptUploadEndpoints(
  context: ControlContext,
  publisher: Publisher,
): readonly Endpoint[] {
  const { keyring, latestCompatibilityDate } = context;
  const path = "/accounts/{account_id}/workers/scripts/{script_name}";
  const buildFrom = async (
    { body: form, texts }: { readonly body: FormData; readonly texts: SecretTexts },
    { refusals = new Refusals(), announced = false }: Checked = {},
  ): Promise<Pick<PublishOptions, "build" | "tag"> & { notices: readonly string[] }> => {
    const { bindings, keepBindings, notices, sentAssets, ...script } = await readScript(
      form,
      latestCompatibilityDate,
      refusals,
    );
    return {
      notices,
      tag: script.annotations["workers/tag"] ?? "",
      build: async ({ newest }, owner) => {
        refusals.try(() => assertAlias(script.annotations, owner.scriptName));
        return {
          ...script,
          settings: {
            ...script.settings,
            ...(announced ? NO_FILES : await resolveAssets(context, sentAssets, { owner, newest })),
          },
          refusals,
          bindings: resolveOrRefuse(bindings, owner, {
            keyring,
            texts,
            before: newest,
            keep: keepBindings,
            refusals,
          }),
        };
      },
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
        holdsSecrets: true,
      },
      async (call) => {
        const key = keyOf(call);
        const { notices, ...upload } = await buildFrom(call);
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
        holdsSecrets: true,
      },
      async (call) => {
        const key = keyOf(call);
        const { notices, ...upload } = await buildFrom(call);
        const { script, version } = await publisher.publish(key, {
          ...upload,
          ...byOf(call),
          deploy: false,
          create: false,
        });
        const hasPreview = await hasPreviews(context.store.db, script);
        return { result: shownVersion(version, hasPreview), messages: notices };
      },
    ),
    endpoint(
      {
        method: "post",
        path: "/accounts/{account_id}/countersign/scripts/{script_name}/check",
        summary: "Say what a deploy would be refused for, without deploying",
        scope: "workers_scripts:write",
        body: "form",
        holdsSecrets: true,
      },
      async (call) => {
        const key = keyOf(call);
        const refusals = new Refusals();
        const configuration = call.body.get("settings[configuration]");
        refusals.add(...configurationRefusals(configuration));
        const announced = announcesAssets(configuration);
        const { notices, tag, build } = await buildFrom(call, { refusals, announced });
        try {
          await publisher.check(key, {
            ...byOf(call),
            ...(tag !== undefined && { tag }),
            deploy: true,
            create: true,
            build: async (before, owner) => ({
              ...(await build(before, owner)),
              ...configuredMigrations(configuration, before.script?.migrationTag),
            }),
          });
        } catch (error) {
          if (!(error instanceof Failure) || error.entry.side === "platform") throw error;
          return { result: { deployable: false, refusals: shownRefusals(error) } };
        }
        return { result: { deployable: true, refusals: [] }, messages: notices };
      },
    ),
  ];
}

function shownRefusals(failure: Failure): readonly object[] {
  return (failure.parts ?? [failure]).map(({ code, message, fix, entry, facts }) => ({
    code,
    number: entry.number,
    message,
    fix,
    ...facts,
  }));
}

function shownUpload({ script, version }: Published): object {
  return {
    ...shownScript(script, version),
    entry_point: version.mainModule,
    // wrangler reads the version's id from this field.
    deployment_id: version.id,
    startup_time_ms: version.startupTimeMs,
  };
}
