import { z } from "@hono/zod-openapi";
import { annotation, anyJson, fieldsOf } from "../../api/bounds.ts";
import { Failure } from "../../../failures/failures.ts";
import { firstIssue } from "../../api/endpoint.ts";
import { oneLine } from "../../api/text.ts";
import { sentAssets, type SentAssets } from "../assets/assets-metadata.ts";
import { mostBindings, requestedBinding, type RequestedBinding } from "../requested-bindings.ts";
import { sentMigrations, type Migrations } from "../migrations.ts";
import { Refusals } from "../refusals.ts";
import { assertScriptSettings, type ScriptSettings, scriptSettings } from "./script-settings.ts";

/** Limits of one upload: far above what wrangler sends, and checked before any work. */
export const uploadCaps: { readonly metadata: number; readonly bindings: number } = {
  /** Bytes of the part `metadata`. */
  metadata: 8 * 1024 * 1024,
  bindings: mostBindings,
};

const strings = z.array(z.string().max(255)).max(uploadCaps.bindings);

/** Settings of any shape. */
const some = fieldsOf(anyJson(10_000), 100);

const limits = z.strictObject({
  cpu_ms: z.number().int().min(1).max(300_000).optional(),
  subrequests: anyJson(1024).optional(),
});

/** Cloudflare's metadata. Fields that are not listed are refused by name. */
const metadata = scriptSettings.extend({
  main_module: z.string().max(1024).optional(),
  body_part: z.string().max(1024).optional(),
  bindings: z.array(requestedBinding).max(uploadCaps.bindings).default([]),
  compatibility_date: oneLine.optional(),
  compatibility_flags: strings.default([]),
  keep_bindings: strings.default([]),
  annotations: fieldsOf(annotation.nullish(), 50).default({}),
  usage_model: z.enum(["standard", "bundled", "unbound"]).nullish(),
  limits: limits.nullish(),
  placement: some.nullish(),
  cache_options: some.nullish(),
  /** Takes files and their configuration from the newest version if none are sent. */
  keep_assets: z.boolean().nullish(),
  // When Durable Objects move to new code; wrangler sends it for every Worker. Ignored.
  code_update_strategy: some.nullish(),
  // The project's dependencies, for Cloudflare's dashboard. Ignored.
  package_dependencies: z.array(anyJson(10_000)).max(10_000).nullish(),
  migrations: sentMigrations.nullish(),
  exports: anyJson(1_000_000).optional(),
  assets: sentAssets.nullish(),
  containers: anyJson(1_000_000).optional(),
  capnp_schema: anyJson(1_000_000).optional(),
  streaming_tail_consumers: z.array(anyJson(10_000)).max(100).nullish(),
});

export const uploadMetadata: z.ZodType = metadata;

/** The fields of the metadata that have an effect. */
export interface ScriptMetadata extends ScriptSettings {
  readonly main_module?: string | undefined;
  /** The name of the part with the script, in service-worker format. */
  readonly body_part?: string | undefined;
  readonly bindings: readonly RequestedBinding[];
  readonly migrations?: Migrations | null | undefined;
  readonly compatibility_date?: string | undefined;
  readonly compatibility_flags: readonly string[];
  readonly keep_bindings: readonly string[];
  readonly annotations: Readonly<Record<string, string | null | undefined>>;
  readonly limits?: { readonly cpu_ms?: number | undefined } | null | undefined;
  readonly placement?: Readonly<Record<string, unknown>> | null | undefined;
  readonly assets?: SentAssets | null | undefined;
  readonly keep_assets?: boolean | null | undefined;
}

/**
 * Reads the metadata of an upload.
 *
 * @param json the part's parsed JSON
 * @throws Failure `metadata_invalid`, `feature_unsupported`
 */
export function readMetadata(json: unknown): ScriptMetadata {
  const refusals = new Refusals();
  const read = readOrRefuse(json, refusals);
  refusals.throw();
  return read;
}

/**
 * Like `readMetadata`, but collects unsupported features.
 * @throws Failure `metadata_invalid`; then the rest cannot be judged
 */
export function readOrRefuse(json: unknown, refusals: Refusals): ScriptMetadata {
  const parsed = metadata.safeParse(json);
  if (!parsed.success) {
    throw new Failure("metadata_invalid", {
      message: `the part "metadata" is not as a script's: ${firstIssue(parsed.error)}`,
    });
  }
  refusals.try(() => refuseUnknown(json as object));
  refuseUnsupported(parsed.data, refusals);
  return parsed.data;
}

function refuseUnknown(json: object): void {
  const unknown = Object.keys(json).filter((key) => !Object.hasOwn(metadata.shape, key));
  if (unknown.length === 0) return;
  const named = unknown.map((key) => `"${key.slice(0, 100)}"`).slice(0, 10);
  throw new Failure("feature_unsupported", {
    message: `the metadata has ${named.join(", ")}, which Countersign does not know`,
    facts: { fields: unknown.slice(0, 10) },
  });
}

function refuseUnsupported(meta: z.output<typeof metadata>, refusals: Refusals): void {
  const features = {
    "declared exports (Durable Objects, Workflows)": meta.exports,
    containers: meta.containers,
    "streaming tail consumers": meta.streaming_tail_consumers?.length,
    "a limit of subrequests (limits.subrequests)": meta.limits?.subrequests,
    "a cache in front of the Worker (cache_options)": meta.cache_options?.["enabled"],
    "a Cap'n Proto schema (capnp_schema)": meta.capnp_schema,
  };
  for (const [feature, value] of Object.entries(features)) {
    if (value) refusals.add(featureRefusal(feature));
  }
  refusals.try(() => assertScriptSettings(meta));
}

/** The refusal of a feature of Cloudflare's that Workers here do not have. */
export function featureRefusal(feature: string): Failure {
  const fix = REMOVE[feature];
  return new Failure("feature_unsupported", {
    message: `the script uses ${feature}, which Countersign does not have`,
    facts: { features: [feature] },
    ...(fix !== undefined && { fix }),
  });
}

/** The feature's place in the Wrangler configuration. */
const REMOVE: Readonly<Record<string, string>> = {
  "declared exports (Durable Objects, Workflows)":
    "Remove `exports`, and declare Durable Objects in `durable_objects` and `migrations`.",
  containers: "Remove `containers`, and run the container beside Countersign.",
  "streaming tail consumers": "Remove `streaming_tail_consumers`.",
  "a limit of subrequests (limits.subrequests)": "Remove `limits.subrequests`.",
};
