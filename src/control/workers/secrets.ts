import { z } from "@hono/zod-openapi";
import { annotation, fieldsOf } from "../api/bounds.ts";
import type { WorkerBinding } from "../../contract/change-feed.ts";
import { Failure } from "../../failures/failures.ts";
import type { SecretTexts } from "../../keys/secret-texts.ts";
import {
  loadModules,
  newestVersion,
  type StoredVersion,
  versionSettings,
} from "../../store/workers/versions.ts";
import { carryOverAll, sealSecret } from "./carried-bindings.ts";
import { bindingText, mostBindings } from "./requested-bindings.ts";
import { shownBinding } from "./binding-shown.ts";
import type { ControlContext } from "../api/context.ts";
import { endpoint, type Endpoint } from "../api/endpoint.ts";
import { byOf, existingScript, keyOf } from "./lookup.ts";
import type { Publisher, PublishOptions } from "./publisher.ts";
import type { Before } from "./before.ts";
import { oneLine } from "../api/text.ts";
import { hasPreviews } from "../../store/workers/previews.ts";
import { shownVersion } from "./versions.ts";

const name = oneLine.min(1).max(255);
const secret = z.object({ text: bindingText, type: z.literal("secret_text") });
const named = secret.extend({ name });
const some = z
  .record(name, secret.nullable())
  .refine((given) => Object.keys(given).length <= mostBindings, `has more than ${mostBindings}`);
const bulk = z.object({ secrets: some });
const patch = z.object({
  env: some.default({}),
  annotations: fieldsOf(annotation, 50).default({}),
});

/** New texts by name; null deletes the secret. */
type Changes = Readonly<Record<string, string | null>>;

interface ChangeOptions extends Pick<PublishOptions, "deploy"> {
  readonly annotations: Readonly<Record<string, string>>;
  /** Refuses to delete a missing secret. Default: false, as in a merge patch. */
  readonly strict?: boolean;
}

/** `wrangler secret` and `wrangler versions secret`: each change is a new version. */
export function secretEndpoints(
  context: ControlContext,
  publisher: Publisher,
): readonly Endpoint[] {
  const { store } = context;
  const path = "/accounts/{account_id}/workers/scripts/{script_name}";
  const scope = "workers_scripts:write";
  const change = (
    call: Parameters<typeof keyOf>[0] &
      Parameters<typeof byOf>[0] & { readonly texts: SecretTexts },
    changes: Changes,
    options: ChangeOptions,
  ): ReturnType<Publisher["publish"]> =>
    publisher.publish(keyOf(call), {
      ...byOf(call),
      deploy: options.deploy,
      create: false,
      tag: options.annotations["workers/tag"] ?? "",
      build: async (before, owner) => {
        const newest = newestOf(before, options.deploy);
        return {
          mainModule: newest.mainModule,
          modules: await loadModules(store.db, newest.id),
          compatibilityDate: newest.compatibilityDate,
          compatibilityFlags: newest.compatibilityFlags,
          annotations: { "workers/triggered_by": "secret", ...options.annotations },
          settings: versionSettings(newest),
          bindings: [
            ...carryOverAll(
              context.keyring,
              { id: newest.id, bindings: without(newest, changes, options.strict ?? false) },
              owner,
            ),
            ...Object.entries(changes).flatMap(([secretName, text]) =>
              text === null
                ? []
                : [
                    sealSecret(
                      { keyring: context.keyring, texts: call.texts },
                      owner,
                      secretName,
                      text,
                    ),
                  ],
            ),
          ],
        };
      },
    });
  return [
    endpoint(
      {
        method: "get",
        path: `${path}/secrets`,
        summary: "List the names of secrets",
        scope: "workers_scripts:read",
      },
      async (call) => {
        const script = await existingScript(store.db, call);
        const newest = await newestVersion(store.db, script.id);
        return { result: (newest?.bindings ?? []).filter(isSecret).map(shownBinding) };
      },
    ),
    endpoint(
      {
        method: "put",
        path: `${path}/secrets`,
        summary: "Set a secret",
        scope,
        body: named,
        holdsSecrets: true,
      },
      async (call) => {
        const { name: secretName, text } = call.body;
        await change(call, { [secretName]: text }, { deploy: true, annotations: {} });
        return { result: { name: secretName, type: "secret_text" } };
      },
    ),
    endpoint(
      {
        method: "delete",
        path: `${path}/secrets/{secret_name}`,
        summary: "Delete a secret",
        scope,
      },
      async (call) => {
        const secretName = call.params["secret_name"] ?? "";
        await change(call, { [secretName]: null }, { deploy: true, annotations: {}, strict: true });
        return { result: null };
      },
    ),
    endpoint(
      {
        method: "patch",
        path: `${path}/secrets-bulk`,
        summary: "Set and delete secrets",
        scope,
        body: bulk,
        holdsSecrets: true,
      },
      async (call) => {
        const { version } = await change(call, textsOf(call.body.secrets), {
          deploy: true,
          annotations: {},
        });
        const secrets = version.bindings.filter(isSecret);
        return { result: Object.fromEntries(secrets.map((b) => [b.name, shownBinding(b)])) };
      },
    ),
    endpoint(
      {
        method: "patch",
        path: "/accounts/{account_id}/workers/workers/{script_name}/versions/latest",
        summary: "A new version with other secrets, not deployed",
        scope,
        body: patch,
        holdsSecrets: true,
      },
      async (call) => {
        const { annotations } = call.body;
        const { script, version } = await change(call, textsOf(call.body.env), {
          deploy: false,
          annotations,
        });
        return { result: shownVersion(version, await hasPreviews(context.store.db, script)) };
      },
    ),
  ];
}

function textsOf(secrets: Readonly<Record<string, { text: string } | null>>): Changes {
  return Object.fromEntries(
    Object.entries(secrets).map(([key, value]) => [key, value?.text ?? null]),
  );
}

/** Deploying a secret must not deploy code that was only uploaded. */
export function newestOf({ newest, current }: Before, deploy: boolean): StoredVersion {
  if (!newest) throw new Failure("no_versions");
  const whole = current?.versions.length === 1 && current.versions[0]?.versionId === newest.id;
  if (deploy && current && !whole) {
    throw new Failure("newest_version_not_deployed", {
      message: `version ${newest.id} is the newest, and not deployed to all traffic`,
      facts: { versionId: newest.id },
    });
  }
  return newest;
}

/** @throws Failure `binding_name_taken`; `secret_not_found` for a missing secret, if `strict` */
function without({ bindings }: StoredVersion, changes: Changes, strict: boolean): WorkerBinding[] {
  for (const [secretName, text] of Object.entries(changes)) {
    const existing = bindings.find((binding) => binding.name === secretName);
    if (existing && !isSecret(existing)) {
      throw new Failure("binding_name_taken", {
        message: `"${secretName}" is already a binding of type ${existing.type}`,
      });
    }
    if (strict && !existing && text === null) {
      throw new Failure("secret_not_found", {
        message: `there is no secret "${secretName.slice(0, 255)}"`,
      });
    }
  }
  return bindings.filter((binding) => !Object.hasOwn(changes, binding.name));
}

function isSecret({ type }: WorkerBinding): boolean {
  return type === "secret_text";
}
