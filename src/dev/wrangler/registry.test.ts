import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { registryPath, wranglersOwn } from "./registry.ts";

test("the registry is the folder that wrangler dev uses, not Miniflare's own", () => {
  const home = mkdtempSync(join(tmpdir(), "registry-"));
  try {
    const miniflares = "/c/cloudflare/dev-registry/v5";
    assert.equal(wranglersOwn(miniflares, home), "/c/.wrangler/registry");
    assert.equal(wranglersOwn("/c/.wrangler/registry", home), "/c/.wrangler/registry");
    mkdirSync(join(home, ".wrangler"));
    assert.equal(wranglersOwn(miniflares, home), join(home, ".wrangler", "registry"));
  } finally {
    rmSync(home, { recursive: true });
  }
});

test("with the wrangler that is installed here it is wrangler's", () => {
  assert.match(registryPath(createRequire(import.meta.url)), /\.wrangler[\\/]registry$/);
});
