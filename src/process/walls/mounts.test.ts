import assert from "node:assert/strict";
import {
  chownSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { giveAll } from "./mounts.ts";

const skip = process.getuid?.() !== 0 && "needs root";
const [BEFORE, AFTER] = [1_879_000_001, 1_879_000_002];

test(
  "what a program kept gets a new owner; what it has only linked to keeps its own",
  { skip },
  async () => {
    const root = mkdtempSync(join(tmpdir(), "countersign-mounts-"));
    try {
      const [kept, outside] = [join(root, "kept"), join(root, "outside")];
      mkdirSync(join(kept, "inner"), { recursive: true });
      writeFileSync(outside, "the platform's");
      writeFileSync(join(kept, "inner", "own"), "");
      linkSync(outside, join(kept, "hard"));
      symlinkSync(outside, join(kept, "inner", "soft"));
      for (const path of ["inner/own", "inner", "."]) chownSync(join(kept, path), BEFORE, BEFORE);
      await giveAll(kept, AFTER, AFTER);
      const owner = (path: string): number => lstatSync(join(kept, path)).uid;
      assert.deepEqual(["inner/own", "inner", "."].map(owner), [AFTER, AFTER, AFTER]);
      assert.equal(lstatSync(outside).uid, 0);
    } finally {
      rmSync(root, { recursive: true });
    }
  },
);

test("what was broken off is done to its end", { skip }, async () => {
  const kept = mkdtempSync(join(tmpdir(), "countersign-mounts-"));
  try {
    for (const [name, owner] of [
      ["done", AFTER],
      ["left", BEFORE],
    ] as const) {
      writeFileSync(join(kept, name), "");
      chownSync(join(kept, name), owner, owner);
    }
    chownSync(kept, BEFORE, BEFORE);
    await giveAll(kept, AFTER, AFTER);
    for (const path of ["done", "left", "."]) {
      assert.equal(lstatSync(join(kept, path)).uid, AFTER, path);
    }
  } finally {
    rmSync(kept, { recursive: true });
  }
});
