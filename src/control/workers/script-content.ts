import type { ModuleType, WorkerModule } from "../../contract/change-feed.ts";
import type { StoredVersion } from "../../store/versions.ts";

const contentTypes: Readonly<Record<ModuleType, string>> = {
  esm: "application/javascript+module",
  commonjs: "application/javascript",
  text: "text/plain",
  data: "application/octet-stream",
  json: "application/json",
  wasm: "application/wasm",
  sourcemap: "application/source-map",
};

/** The modules as a form, each a part, as they were uploaded. */
export function scriptContent(version: StoredVersion, modules: readonly WorkerModule[]): Response {
  const form = new FormData();
  for (const { name, type, content } of modules) {
    form.set(name, new File([Buffer.from(content)], name, { type: contentTypes[type] }));
  }
  const headers = { "cf-entrypoint": encodeURI(version.mainModule), etag: `"${version.etag}"` };
  return new Response(form, { headers });
}
