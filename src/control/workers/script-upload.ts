import { z } from "@hono/zod-openapi";
import type { ModuleType, WorkerModule } from "../../contract/change-feed.ts";
import { Failure } from "../../failures/failures.ts";
import { type RequestedBinding, requestedBinding } from "./bindings.ts";
import { firstIssue } from "../api/endpoint.ts";
import { isOneLine } from "../api/text.ts";

/** A script as it was uploaded, before its bindings were looked up. */
export interface ScriptUpload {
  readonly mainModule: string;
  readonly modules: readonly WorkerModule[];
  readonly compatibilityDate: string;
  readonly compatibilityFlags: readonly string[];
  readonly bindings: readonly RequestedBinding[];
  /** Types of binding that are taken over from the newest version, unless named above. */
  readonly keepBindings: readonly string[];
  readonly annotations: Readonly<Record<string, string>>;
  /** What was accepted, but is not done here: a sentence each. */
  readonly notices: readonly string[];
}

/** What Cloudflare runs a script with that names no date. */
const OLDEST_COMPATIBILITY_DATE = "2021-11-02";

const strings = z.array(z.string());

const metadata = z.object({
  main_module: z.string().optional(),
  body_part: z.string().optional(),
  bindings: z.array(requestedBinding).default([]),
  compatibility_date: z.string().optional(),
  compatibility_flags: strings.default([]),
  keep_bindings: strings.default([]),
  annotations: z.record(z.string(), z.string()).default({}),
  limits: z.record(z.string(), z.unknown()).optional(),
  placement: z.unknown().optional(),
  migrations: z.unknown().optional(),
  exports: z.unknown().optional(),
  assets: z.unknown().optional(),
  containers: z.unknown().optional(),
  tail_consumers: z.array(z.unknown()).nullish(),
  streaming_tail_consumers: z.array(z.unknown()).nullish(),
});

type Metadata = z.output<typeof metadata>;

const moduleTypes: Readonly<Record<string, ModuleType>> = {
  "application/javascript+module": "esm",
  "text/javascript+module": "esm",
  "application/javascript": "commonjs",
  "text/javascript": "commonjs",
  "text/plain": "text",
  "application/octet-stream": "data",
  "application/json": "json",
  "application/wasm": "wasm",
  "application/source-map": "sourcemap",
};

/**
 * Reads a script from the form wrangler sends.
 *
 * @param latestCompatibilityDate the newest the runtime knows
 * @throws Failure if anything in it cannot be run here: nothing is dropped silently
 */
export async function readScript(
  form: FormData,
  latestCompatibilityDate: string,
): Promise<ScriptUpload> {
  const meta = await readMetadata(form);
  refuseUnsupported(meta);
  const modules = await readModules(form);
  const mainModule = meta.main_module ?? "";
  if (!modules.some(({ name }) => name === mainModule)) {
    throw new Failure("main_module_missing", {
      message: `the main module "${mainModule}" is not among the ${modules.length} modules uploaded`,
    });
  }
  return {
    mainModule,
    modules,
    compatibilityDate: compatibilityDate(meta.compatibility_date, latestCompatibilityDate),
    compatibilityFlags: meta.compatibility_flags,
    bindings: meta.bindings,
    keepBindings: meta.keep_bindings,
    annotations: meta.annotations,
    notices: notices(meta),
  };
}

async function readMetadata(form: FormData): Promise<Metadata> {
  const sent = form.get("metadata");
  if (sent === null) {
    throw new Failure("metadata_invalid", { message: 'the form has no part "metadata"' });
  }
  // wrangler sends a field, `curl -F metadata=@file` a file.
  const part = typeof sent === "string" ? sent : await sent.text();
  let json: unknown;
  try {
    json = JSON.parse(part);
  } catch {
    throw new Failure("metadata_invalid", { message: 'the part "metadata" is not JSON' });
  }
  const parsed = metadata.safeParse(json);
  if (parsed.success) return parsed.data;
  throw new Failure("metadata_invalid", {
    message: `the part "metadata" is not as a script's: ${firstIssue(parsed.error)}`,
  });
}

function refuseUnsupported(meta: Metadata): void {
  if (meta.body_part !== undefined) throw new Failure("service_worker_unsupported");
  const features = {
    "Durable Object migrations": meta.migrations,
    "declared exports (Durable Objects, Workflows)": meta.exports,
    "static assets": meta.assets,
    containers: meta.containers,
    "tail consumers": meta.tail_consumers?.length,
    "streaming tail consumers": meta.streaming_tail_consumers?.length,
  };
  const used = Object.entries(features).flatMap(([name, value]) => (value ? [name] : []));
  if (used.length === 0) return;
  throw new Failure("feature_unsupported", {
    message: `the script uses ${used.join(" and ")}, which Countersign does not have`,
    facts: { features: used },
  });
}

async function readModules(form: FormData): Promise<WorkerModule[]> {
  const modules = new Map<string, WorkerModule>();
  for (const [name, part] of form) {
    if (name === "metadata") continue;
    if (modules.has(name)) throw invalid(name, "appears twice");
    if (typeof part === "string") throw invalid(name, "was sent as a field and not as a file");
    if (!isOneLine(name) || name.length > 1024) {
      throw invalid(name, "has a name that cannot be imported");
    }
    const type = moduleTypes[part.type.split(";")[0]?.trim().toLowerCase() ?? ""];
    if (!type) throw invalid(name, `has the content type "${part.type.slice(0, 100)}"`);
    modules.set(name, { name, type, content: await part.bytes() });
  }
  return [...modules.values()];
}

function invalid(name: string, why: string): Failure {
  return new Failure("module_invalid", { message: `the module "${name.slice(0, 200)}" ${why}` });
}

function compatibilityDate(date: string | undefined, latest: string): string {
  if (date === undefined || date === "") return OLDEST_COMPATIBILITY_DATE;
  if (!/^\d{4}-\d{2}-\d{2}$/.test(date) || Number.isNaN(Date.parse(date))) {
    throw new Failure("compatibility_date_invalid", {
      message: `the compatibility date "${date.slice(0, 50)}" is not a date such as ${latest}`,
    });
  }
  if (date > latest) {
    throw new Failure("compatibility_date_invalid", {
      message: `the compatibility date ${date} is later than ${latest}, the newest this runtime knows`,
      fix: `Set "compatibility_date" to ${latest} or earlier, or update Countersign.`,
      facts: { latest },
    });
  }
  return date;
}

function notices({ limits, placement }: Metadata): string[] {
  const sentences: string[] = [];
  if (limits) sentences.push("CPU and subrequest limits are not enforced by this runtime");
  if (placement) sentences.push("Placement has no effect: the Worker runs on this machine");
  return sentences;
}
