import { build } from "esbuild";
import { join } from "node:path";

/** An API of the platform, and the credentials for it. */
export interface Target {
  readonly api: string;
  readonly accountId: string;
  readonly token: string;
}

/** The Workers' code in one file. */
export async function bundleWorker(): Promise<string> {
  const { outputFiles } = await build({
    entryPoints: [join(import.meta.dirname, "worker.ts")],
    bundle: true,
    format: "esm",
    write: false,
  });
  return outputFiles[0]!.text;
}

/** Does what wrangler does for `"mtls_certificates": [{ "binding": "ME", "certificate_id": "identity" }]`. */
export async function deploy(target: Target, name: string, code: string): Promise<void> {
  const form = new FormData();
  const metadata = {
    main_module: "index.js",
    compatibility_date: "2026-11-01",
    bindings: [{ type: "mtls_certificate", name: "ME", certificate_id: "identity" }],
  };
  form.set("metadata", new Blob([JSON.stringify(metadata)], { type: "application/json" }));
  form.set("index.js", new File([code], "index.js", { type: "application/javascript+module" }));
  await callApi(target, "PUT", `/workers/scripts/${name}`, form);
}

/** @throws Error with the platform's message */
export async function callApi(
  { api, accountId, token }: Target,
  method: string,
  path: string,
  body?: unknown,
): Promise<void> {
  const response = await fetch(`${api}/accounts/${accountId}${path}`, {
    method,
    headers: { authorization: `Bearer ${token}` },
    ...(body !== undefined && { body: body instanceof FormData ? body : JSON.stringify(body) }),
  });
  if (!response.ok) throw new Error(`${method} ${path}: ${await response.text()}`);
}
