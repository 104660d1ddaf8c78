/**
 * Makes `assets/storage/*.js` of the simulators that come with miniflare: R2 buckets and rate limits,
 * each in one module, so that who installs Countersign need not install miniflare.
 * `--check`: says whether they are those of the miniflare that is installed.
 */
import { build } from "esbuild";
import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";

const root = dirname(import.meta.dirname);
const miniflare = dirname(createRequire(import.meta.url).resolve("miniflare/package.json"));
const workers = join(miniflare, "dist/src/workers");
const { version } = JSON.parse(readFileSync(join(miniflare, "package.json"), "utf8")) as {
  version: string;
};

const made = {
  "r2.js": "r2/bucket.worker.js",
  "rate-limit-object.js": "ratelimit/ratelimit-object.worker.js",
  "rate-limit-binding.js": "ratelimit/ratelimit.worker.js",
};

const isCheck = process.argv.includes("--check");
for (const [name, source] of Object.entries(made)) {
  const path = join(root, "assets/storage", name);
  const text = await bundle(source);
  if (!isCheck) writeFileSync(path, text);
  else if (readFileSync(path, "utf8") !== text) {
    process.stderr.write(`assets/storage/${name} is stale: run node scripts/storage-assets.ts\n`);
    process.exitCode = 1;
  }
}

async function bundle(source: string): Promise<string> {
  const { outputFiles } = await build({
    entryPoints: [join(workers, source)],
    bundle: true,
    minify: true,
    treeShaking: true,
    format: "esm",
    target: "esnext",
    write: false,
    charset: "utf8",
    legalComments: "none",
    external: ["node:*", "cloudflare:*"],
    alias: {
      "miniflare:shared": join(workers, "shared/index.worker.js"),
      "miniflare:zod": join(workers, "shared/zod.worker.js"),
      "node-internal:internal_assert": "node:assert",
      "node-internal:internal_buffer": "node:buffer",
    },
  });
  return `// From miniflare ${version} (MIT, Cloudflare, Inc.): scripts/storage-assets.ts makes it.\n${outputFiles[0]!.text}`;
}
