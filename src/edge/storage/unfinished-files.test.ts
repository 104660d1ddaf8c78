import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { removeUnfinished } from "./unfinished-files.ts";

test("what was not written to its end is removed, and nothing that is whole, or that is being written", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "countersign-unfinished-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const before = Date.now();
  await removeUnfinished(folder, before);
  const all = ["r2/bucket/blobs", "kv-blobs/namespace/b"].map((name) => join(folder, name));
  for (const files of all) {
    mkdirSync(join(files, ".folder.tmp"), { recursive: true });
    for (const name of ["whole", ".begun.1.10.tmp", ".now.1.11.tmp", "named.tmp", ".hidden"]) {
      writeFileSync(join(files, name), "x");
      const at = new Date(name.startsWith(".now") ? before + 1_000 : before - 1_000);
      utimesSync(join(files, name), at, at);
    }
  }
  writeFileSync(join(folder, "r2/metadata.sqlite"), "");
  await removeUnfinished(folder, before);
  for (const files of all) {
    assert.deepEqual(readdirSync(files).toSorted(), [
      ".folder.tmp",
      ".hidden",
      ".now.1.11.tmp",
      "named.tmp",
      "whole",
    ]);
  }
});
