import { z } from "@hono/zod-openapi";
import { Failure } from "../../failures/failures.ts";
import { firstIssue } from "../api/endpoint.ts";
import { mostBindings, requestedBinding, type RequestedBinding } from "./bindings.ts";
import { assertScriptSettings, type ScriptSettings, scriptSettings } from "./script-settings.ts";

/** What one upload may name: far above what wrangler sends, checked before any work is done. */
export const uploadCaps: { readonly metadata: number; readonly bindings: number } = {
  /** Bytes of the part `metadata`. */
  metadata: 8 * 1024 * 1024,
  bindings: mostBindings,
};

const strings = z.array(z.string().max(255)).max(uploadCaps.bindings);

const limits = z.strictObject({
  cpu_ms: z.number().int().min(1).max(300_000).optional(),
  subrequests: z.unknown().optional(),
});

/** The fields of Cloudflare's metadata; those that are not here are refused by their names. */
const metadata = scriptSettings.extend({
  main_module: z.string().optional(),
  body_part: z.string().optional(),
  bindings: z.array(requestedBinding).max(uploadCaps.bindings).default([]),
  compatibility_date: z.string().optional(),
  compatibility_flags: strings.default([]),
  keep_bindings: strings.default([]),
  annotations: z.record(z.string(), z.string().nullish()).default({}),
  usage_model: z.enum(["standard", "bundled", "unbound"]).nullish(),
  limits: limits.nullish(),
  placement: z.record(z.string(), z.unknown()).nullish(),
  cache_options: z.record(z.string(), z.unknown()).nullish(),
  // Concerns assets alone; a Worker without them keeps none.
  keep_assets: z.boolean().nullish(),
  // When Durable Objects move to new code; wrangler sends it for every Worker.
  code_update_strategy: z.record(z.string(), z.unknown()).nullish(),
  // What the project depends on: for Cloudflare's dashboard.
  package_dependencies: z.array(z.unknown()).nullish(),
  migrations: z.unknown().optional(),
  exports: z.unknown().optional(),
  assets: z.unknown().optional(),
  containers: z.unknown().optional(),
  capnp_schema: z.unknown().optional(),
  streaming_tail_consumers: z.array(z.unknown()).nullish(),
});

/** The metadata, as far as something is made of it. */
export interface ScriptMetadata extends ScriptSettings {
  readonly main_module?: string | undefined;
  readonly bindings: readonly RequestedBinding[];
  readonly compatibility_date?: string | undefined;
  readonly compatibility_flags: readonly string[];
  readonly keep_bindings: readonly string[];
  readonly annotations: Readonly<Record<string, string | null | undefined>>;
  readonly limits?: { readonly cpu_ms?: number | undefined } | null | undefined;
  readonly placement?: Readonly<Record<string, unknown>> | null | undefined;
}

/**
 * Reads the metadata of an upload.
 *
 * @param json as it was sent
 * @throws Failure `metadata_invalid`, `feature_unsupported`, `service_worker_unsupported`
 */
export function readMetadata(json: unknown): ScriptMetadata {
  const parsed = metadata.safeParse(json);
  if (!parsed.success) {
    throw new Failure("metadata_invalid", {
      message: `the part "metadata" is not as a script's: ${firstIssue(parsed.error)}`,
    });
  }
  refuseUnknown(json as object);
  refuseUnsupported(parsed.data);
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

function refuseUnsupported(meta: z.output<typeof metadata>): void {
  if (meta.body_part !== undefined) throw new Failure("service_worker_unsupported");
  const features = {
    "Durable Object migrations": meta.migrations,
    "declared exports (Durable Objects, Workflows)": meta.exports,
    "static assets": meta.assets,
    containers: meta.containers,
    "tail consumers": meta.tail_consumers?.length,
    "streaming tail consumers": meta.streaming_tail_consumers?.length,
    "a limit of subrequests (limits.subrequests)": meta.limits?.subrequests,
    "a cache in front of the Worker (cache_options)": meta.cache_options?.["enabled"],
    "a Cap'n Proto schema (capnp_schema)": meta.capnp_schema,
    "preview aliases (workers/alias)": meta.annotations["workers/alias"],
  };
  const used = Object.entries(features).flatMap(([name, value]) => (value ? [name] : []));
  if (used.length > 0) {
    throw new Failure("feature_unsupported", {
      message: `the script uses ${used.join(" and ")}, which Countersign does not have`,
      facts: { features: used },
    });
  }
  assertScriptSettings(meta);
}
