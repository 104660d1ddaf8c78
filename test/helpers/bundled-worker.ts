import { build } from "esbuild";

/** Bundles a Worker's source with its packages into one module, as wrangler would. */
export async function bundledWorker(source: string, folder: string): Promise<string> {
  const { outputFiles } = await build({
    stdin: { contents: source, resolveDir: folder },
    bundle: true,
    write: false,
    format: "esm",
    platform: "node",
    target: "es2024",
    conditions: ["workerd"],
    external: ["cloudflare:sockets", "node:*", "pg-native"],
    banner: {
      js: `import { createRequire } from "node:module"; const require = createRequire("/");`,
    },
  });
  return outputFiles[0]!.text;
}
