import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { makeRunFolder, removeLeft } from "./run-folder.ts";
import { identityOf } from "../process/orphans.ts";

test("folders of runs that were killed are removed, and none of a run that goes on, or of somebody else's", async (t) => {
  const within = mkdtempSync(join(tmpdir(), "countersign-left-"));
  t.after(() => rmSync(within, { recursive: true, force: true }));
  const owners = {
    "cs-runs": `${process.pid} ${await identityOf(process.pid)}`,
    "cs-killed": `${process.pid} another boot and another time`,
    "cs-gone": `4194999 ${await identityOf(process.pid)}`,
    "cs-unknown": null,
    "cs-odd": "anything",
    other: "4194999 x",
  };
  for (const [name, owner] of Object.entries(owners)) {
    mkdirSync(join(within, name));
    writeFileSync(join(within, name, "socket"), "");
    if (owner !== null) writeFileSync(join(within, name, "owner"), owner);
  }
  writeFileSync(join(within, "cs-file"), "");
  symlinkSync(join(within, "other"), join(within, "cs-link"));
  await removeLeft(within);
  const left = ["cs-file", "cs-link", "cs-odd", "cs-runs", "cs-unknown", "other"];
  assert.deepEqual(readdirSync(within).toSorted(), left);
  assert.ok(readdirSync(join(within, "other")).includes("socket"));
});

test("a run's folder is there until it is disposed of, whatever runs meanwhile", async () => {
  using folder = await makeRunFolder();
  using _ = await makeRunFolder();
  assert.deepEqual(readdirSync(folder.path), ["owner"]);
});
