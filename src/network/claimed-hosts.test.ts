import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { ClaimedHosts } from "./claimed-hosts.ts";
import { hostsOverlap } from "./patterns.ts";

const labels = ["a", "b", "ab", "example", "com"];
const names = labels.flatMap((one) => [one, ...labels.map((other) => `${one}.${other}`)]);
const patterns = [
  "*",
  ...names.flatMap((name) => [name, `*${name}`, `*.${name}`, `${name}/path*`, `*.${name}/*`]),
];

describe("hosts that others have claimed", () => {
  it("are what each pair of patterns says", () => {
    for (const claim of patterns) {
      const claimed = new ClaimedHosts([claim]);
      for (const pattern of patterns) {
        assert.equal(
          claimed.overlap(pattern),
          hostsOverlap(claim, pattern),
          `${claim} and ${pattern}`,
        );
      }
    }
  });

  it("are any of many", () => {
    const claimed = new ClaimedHosts(["a.example", "*.b.example", "c.example/path/*"]);
    const asked = ["a.example", "x.b.example", "b.example", "c.example", "*.example", "d.example"];
    assert.deepEqual(
      asked.map((pattern) => claimed.overlap(pattern)),
      [true, true, false, true, true, false],
    );
  });
});
