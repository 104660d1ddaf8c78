import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { experimentalFlags } from "./experimental-flags.ts";

test("only flags that workerd itself calls experimental are refused", (t) => {
  const { default: workerd } = createRequire(import.meta.url)("workerd") as { default: string };
  const flags = [...experimentalFlags].map((flag) => `"${flag}"`).join(", ");
  const config = `using Workerd = import "/workerd/workerd.capnp";
    const config :Workerd.Config = (services = [(name = "main", worker = (
      modules = [(name = "m", esModule = "export default {}")],
      compatibilityDate = "2026-11-01", compatibilityFlags = [${flags}, "not_a_flag"]))]);`;
  const folder = mkdtempSync(join(tmpdir(), "countersign-flags-"));
  t.after(() => rmSync(folder, { recursive: true }));
  writeFileSync(join(folder, "config.capnp"), config);
  const { stderr } = spawnSync(workerd, ["serve", "config.capnp"], {
    cwd: folder,
    encoding: "utf8",
  });
  const named = [...stderr.matchAll(/flag (\w+) is experimental/g)].map(([, flag]) => flag);
  assert.deepEqual(new Set(named), experimentalFlags, stderr);
});
