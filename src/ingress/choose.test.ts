import assert from "node:assert/strict";
import { test } from "node:test";
import { choose } from "./choose.ts";
import type { ScriptEntry } from "./protocol.ts";

const OLD = "00000000-0000-4000-8000-000000000001";
const NEW = "00000000-0000-4000-8000-000000000002";

function entry(percentage: number): ScriptEntry {
  return {
    scriptName: "shop",
    hosts: [],
    routes: [],
    targets: [
      { sockets: ["new"], percentage, versionId: NEW },
      { sockets: ["old"], percentage: 100 - percentage, versionId: OLD },
    ],
  };
}

function socket(from: ScriptEntry, headers: Record<string, string> = {}): string | undefined {
  return choose(from, headers)?.sockets[0];
}

function header(value: string): Record<string, string> {
  return { "cloudflare-workers-version-overrides": value };
}

test("a key leads to one version, and stays there when a share grows", () => {
  const keys = Array.from({ length: 300 }, (_, index) => `user-${index}`);
  const at = (percentage: number): (string | undefined)[] =>
    keys.map((key) => socket(entry(percentage), { "cloudflare-workers-version-key": key }));
  assert.deepEqual(at(30), at(30));
  const [few, more] = [at(20), at(60)];
  assert.ok(few.includes("new") && few.includes("old"));
  few.forEach((before, index) => {
    if (before === "new") assert.equal(more[index], "new");
  });
});

test("an override names the script and a version that is deployed, at no share too", () => {
  for (const [value, expected] of [
    [`shop="${NEW}"`, "new"],
    [`other="${OLD}", shop="${NEW}"`, "new"],
    [`shop="${NEW}", shop="${OLD}"`, "old"],
    [`other="${NEW}"`, "old"],
    [`shop="${NEW.replace("2", "9")}"`, "old"],
    [`shop=${NEW}`, "old"],
    ["", "old"],
  ] as const) {
    assert.equal(socket(entry(0), header(value)), expected, value);
  }
});

test("a version without a share gets no other traffic", () => {
  for (let index = 0; index < 200; index++) {
    assert.equal(socket(entry(0)), "old");
    assert.equal(socket(entry(0), { "cloudflare-workers-version-key": `${index}` }), "old");
  }
});
