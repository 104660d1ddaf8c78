import type { ModuleType, WorkerModule } from "../../../contract/change-feed.ts";
import { Failure } from "../../../failures/failures.ts";
import { parseSentJson } from "../../../keys/json-text.ts";
import { isOneLine } from "../../api/text.ts";
import type { RequestedBinding } from "../requested-bindings.ts";
import { metadataFromFields } from "./form-fields.ts";
import { handlersOf } from "./handlers.ts";
import type { Migrations } from "../migrations.ts";
import type { Refusals } from "../refusals.ts";
import { serviceWorkerParts } from "./service-worker.ts";
import { readOrRefuse, type ScriptMetadata, uploadCaps } from "./script-metadata.ts";
import { givenSettings, type ScriptSettings } from "./script-settings.ts";
import type { VersionSettings } from "../../../store/schema.ts";

/** A script as it was uploaded, before its bindings are resolved. */
export interface ScriptUpload {
  readonly mainModule: string;
  readonly modules: readonly WorkerModule[];
  readonly compatibilityDate: string;
  readonly compatibilityFlags: readonly string[];
  readonly bindings: readonly RequestedBinding[];
  /** Types of bindings that are carried over from the newest version, unless the upload names them. */
  readonly keepBindings: readonly string[];
  readonly annotations: Readonly<Record<string, string>>;
  readonly migrations?: Migrations;
  /** Settings of the version. */
  readonly settings: VersionSettings;
  /** Settings of the script that were sent with it. */
  readonly scriptSettings: ScriptSettings;
  /** The part of the metadata about static assets. */
  readonly sentAssets: Pick<ScriptMetadata, "assets" | "keep_assets">;
  /** One sentence for each field that was accepted without effect. */
  readonly notices: readonly string[];
}

/** The date that Cloudflare uses for a script that names none. */
const OLDEST_COMPATIBILITY_DATE = "2021-11-02";

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
 * Reads a script from the form that wrangler, the SDKs and Terraform send.
 *
 * @param latestCompatibilityDate the newest date that the runtime supports
 * @param refusals collects what cannot run here; nothing is dropped silently
 * @throws Failure if the form cannot be read at all
 */
export async function readScript(
  form: FormData,
  latestCompatibilityDate: string,
  refusals: Refusals,
): Promise<ScriptUpload> {
  const meta = readOrRefuse(await sentMetadata(form, "metadata"), refusals);
  return scriptOf(meta, await readModules(form), latestCompatibilityDate, refusals);
}

/** A script from metadata and modules of any format. @throws Failure as `readScript` */
export function scriptOf(
  meta: ScriptMetadata,
  sent: readonly WorkerModule[],
  latestCompatibilityDate: string,
  refusals?: Refusals,
): ScriptUpload {
  const { body_part: bodyPart } = meta;
  const modules = bodyPart === undefined ? sent : serviceWorkerParts(bodyPart, sent);
  const main = bodyPart ?? meta.main_module ?? "";
  const date = (): string => compatibilityDate(meta.compatibility_date, latestCompatibilityDate);
  return {
    modules,
    compatibilityDate: refusals === undefined ? date() : (refusals.try(date) ?? ""),
    compatibilityFlags: meta.compatibility_flags,
    bindings: meta.bindings,
    keepBindings: meta.keep_bindings,
    annotations: annotationsOf(meta.annotations),
    ...(meta.migrations && { migrations: meta.migrations }),
    scriptSettings: givenSettings(meta),
    notices: notices(meta),
    sentAssets: { assets: meta.assets, keep_assets: meta.keep_assets },
    mainModule: main,
    settings: {
      ...(bodyPart !== undefined && { service_worker: true as const }),
      ...(meta.limits?.cpu_ms !== undefined && { limits: { cpu_ms: meta.limits.cpu_ms } }),
      ...(meta.placement && { placement: meta.placement }),
      ...(servesFilesAlone(meta, modules)
        ? { handlers: [], named_handlers: [] }
        : handlersOf(mainModule(main, modules))),
    },
  };
}

/** Whether it is a Worker without code, only with files. */
function servesFilesAlone(meta: ScriptMetadata, modules: readonly WorkerModule[]): boolean {
  const hasFiles = meta.assets != null || meta.keep_assets === true;
  return hasFiles && modules.length === 0 && !meta.main_module && !meta.body_part;
}

/** @throws Failure `main_module_missing` */
export function mainModule(name: string, modules: readonly WorkerModule[]): WorkerModule {
  const main = modules.find((module) => module.name === name);
  if (main) return main;
  throw new Failure("main_module_missing", {
    message: `the main module "${name.slice(0, 200)}" is not among the ${modules.length} modules uploaded`,
  });
}

/** Texts without null values, at the length that Cloudflare allows. */
export function annotationsOf(
  sent: Readonly<Record<string, string | null | undefined>>,
): Record<string, string> {
  return Object.fromEntries(
    Object.entries(sent).flatMap(([key, text]) =>
      text == null ? [] : [[key, text.slice(0, 1000)]],
    ),
  );
}

/**
 * The JSON that describes an upload: one part or, from the npm SDK, a field for each value.
 *
 * @throws Failure `metadata_invalid`, `text_not_unicode`, `json_too_deep`, `body_too_large`
 */
export async function sentMetadata(
  form: FormData,
  name: "metadata" | "settings",
): Promise<unknown> {
  const sent = form.get(name);
  if (sent === null) return fromFields(form, name);
  const size = typeof sent === "string" ? sent.length : sent.size;
  if (size > uploadCaps.metadata) {
    throw new Failure("body_too_large", {
      message: `the part "${name}" is larger than ${uploadCaps.metadata / 1024 / 1024} MiB`,
      facts: { limitBytes: uploadCaps.metadata },
    });
  }
  // wrangler sends a field, `curl -F metadata=@file` a file.
  const part = typeof sent === "string" ? sent : await sent.text();
  try {
    return parseSentJson(part);
  } catch (error) {
    if (error instanceof Failure) throw error;
    throw new Failure("metadata_invalid", { message: `the part "${name}" is not JSON` });
  }
}

function fromFields(form: FormData, name: string): unknown {
  let fields: object | null;
  try {
    fields = metadataFromFields(form);
  } catch (error) {
    throw new Failure("metadata_invalid", {
      message: (error as Error).message,
      fix: "Send the metadata as one part of JSON.",
    });
  }
  if (fields) return fields;
  throw new Failure("metadata_invalid", { message: `the form has no part "${name}"` });
}

/** @throws Failure `module_invalid`, `feature_unsupported` */
export async function readModules(form: FormData): Promise<WorkerModule[]> {
  const modules = new Map<string, WorkerModule>();
  for (const [partName, part] of form) {
    if (/^(metadata|settings)(\[|$)/.test(partName)) continue;
    if (typeof part === "string") throw invalid(partName, "was sent as a field and not as a file");
    // The SDKs name each part `files`, sometimes with an index; then the file's name is the module's.
    const name = /^files(\[\d*\])?$/.test(partName) ? part.name : partName;
    if (modules.has(name)) throw invalid(name, "appears twice");
    const type = moduleType(name, part.type);
    modules.set(name, { name, type, content: await part.bytes() });
  }
  return [...modules.values()];
}

/** @throws Failure `module_invalid`, `feature_unsupported` */
export function moduleType(name: string, contentType: string): ModuleType {
  if (!isOneLine(name) || name.length > 1024) {
    throw invalid(name, "has a name that cannot be imported");
  }
  const essence = contentType.split(";")[0]?.trim().toLowerCase() ?? "";
  const type = moduleTypes[essence];
  if (type) return type;
  if (essence.startsWith("text/x-python")) throw pythonRefusal(name);
  throw invalid(name, `has the content type "${contentType.slice(0, 100)}"`);
}

/** workerd would download the Python interpreter and packages from Cloudflare. */
function pythonRefusal(name: string): Failure {
  return new Failure("feature_unsupported", {
    message: `the module "${name.slice(0, 200)}" is Python, and Python Workers do not run here`,
    fix: "Write the Worker in JavaScript or TypeScript, or run the Python program as a server of its own that the Worker fetches from.",
    facts: { features: ["Python Workers"] },
  });
}

function invalid(name: string, why: string): Failure {
  return new Failure("module_invalid", { message: `the module "${name.slice(0, 200)}" ${why}` });
}

/** @throws Failure `compatibility_date_invalid` */
export function compatibilityDate(date: string | undefined, latest: string): string {
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

function notices({ placement }: ScriptMetadata): string[] {
  const isPlaced = placement && Object.values(placement).some((value) => value !== undefined);
  return isPlaced ? ["Placement has no effect: the Worker runs on this machine"] : [];
}
