import assert from "node:assert/strict";
import { test } from "node:test";
import { formatDuration, formatSize } from "./format.ts";

test("durations are said in one unit", () => {
  const spoken = [12, 800, 1234, 12_000, 180_000, 5 * 3_600_000, 12 * 86_400_000];
  assert.deepEqual(spoken.map(formatDuration), [
    "12 ms",
    "800 ms",
    "1.2 s",
    "12 s",
    "3 min",
    "5 h",
    "12 days",
  ]);
});

test("sizes are said in binary units", () => {
  assert.deepEqual([0, 512, 4096, 12 * 1024 * 1024].map(formatSize), [
    "0 B",
    "512 B",
    "4.0 KiB",
    "12 MiB",
  ]);
});
