import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { test } from "node:test";

const skip = process.platform === "linux" ? false : "needs Linux";
const module = join(import.meta.dirname, "erase-variable.ts");

test(
  "an erased variable is not in what the kernel was given, and its neighbours are",
  { skip },
  () => {
    const script = `
    const { eraseVariable } = await import(${JSON.stringify(module)});
    const { readFileSync } = await import("node:fs");
    const erased = eraseVariable("KEY_OF_ALL");
    const block = readFileSync("/proc/self/environ", "latin1");
    console.log(JSON.stringify({ erased, block, value: process.env.KEY_OF_ALL ?? null, near: process.env.KEY_OF }));`;
    const { stdout, stderr } = spawnSync(
      process.execPath,
      ["--input-type=module", "--eval", script],
      {
        encoding: "utf8",
        env: { A: "1", KEY_OF: "kept", KEY_OF_ALL: "very secret", XKEY_OF_ALL: "kept too", Z: "9" },
      },
    );
    const { erased, block, value, near } = JSON.parse(stdout || stderr) as Record<string, unknown>;
    assert.equal(erased, true);
    assert.equal(value, null);
    assert.equal(near, "kept");
    assert.doesNotMatch(String(block), /secret/);
    assert.match(String(block), /A=1\0/);
    assert.match(String(block), /XKEY_OF_ALL=kept too\0/);
    assert.match(String(block), /Z=9\0/);
  },
);
