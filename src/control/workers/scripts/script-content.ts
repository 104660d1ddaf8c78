import type { ModuleType, WorkerModule } from "../../../contract/change-feed.ts";
import type { StoredVersion } from "../../../store/workers/versions.ts";

const contentTypes: Readonly<Record<ModuleType, string>> = {
  esm: "application/javascript+module",
  commonjs: "application/javascript",
  script: "application/javascript",
  text: "text/plain",
  data: "application/octet-stream",
  json: "application/json",
  wasm: "application/wasm",
  sourcemap: "application/source-map",
};

/** The modules as a form with one part each, as they were uploaded; a service worker's script as plain text. */
export function scriptContent(version: StoredVersion, modules: readonly WorkerModule[]): Response {
  const etag = `"${version.etag}"`;
  const script = modules.find(({ type }) => type === "script");
  if (script !== undefined) {
    const headers = { "content-type": contentTypes.script, etag };
    return new Response(Buffer.from(script.content), { headers });
  }
  const form = new FormData();
  for (const { name, type, content } of modules) {
    form.set(name, new File([Buffer.from(content)], name, { type: contentTypes[type] }));
  }
  const headers = { "cf-entrypoint": encodeURI(version.mainModule), etag };
  return new Response(form, { headers });
}
