import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Failure } from "../../failures/failures.ts";
import { hostsOverlap } from "../../network/patterns.ts";
import { hostOf, routePattern, zonesOf } from "./zones.ts";

describe("route patterns", () => {
  for (const [given, stored] of [
    ["example.com/*", "example.com/*"],
    ["https://API.Example.com/V1/*", "api.example.com/V1/*"],
    ["*.example.com/a*", "*.example.com/a*"],
    ["*example.com/*", "*example.com/*"],
    ["example.com", "example.com"],
    ["my-host.internal/", "my-host.internal/"],
  ] as const) {
    it(`"${given}" is stored as "${stored}"`, () => {
      assert.equal(routePattern(given), stored);
    });
  }

  for (const wrong of [
    "",
    "*",
    "/path",
    "localhost/*",
    "example.com/*/a",
    "example.com/?q=1",
    "exa mple.com/*",
    "a.*.com/*",
    "example.com:8080/*",
    "-a.example.com/*",
    "example.com/\n",
    "other.countersign.workers.dev/*",
    "*rs.dev/*",
    "*.localhost/*",
    "script.localhost/*",
  ]) {
    it(`${JSON.stringify(wrong)} is refused`, () => {
      assert.throws(
        () => routePattern(wrong),
        (error) => error instanceof Failure && error.code === "route_invalid",
      );
    });
  }

  it("two patterns overlap where one host could match both", () => {
    const pairs = [
      ["a.example.com/*", "a.example.com", true],
      ["*.example.com/*", "a.example.com/b", true],
      ["*.example.com/*", "*.a.example.com/*", true],
      ["*ample.com/*", "example.com", true],
      ["*.example.com/*", "example.com/*", false],
      ["a.example.com/*", "b.example.com/*", false],
      ["*.a.example.com", "*.b.example.com", false],
    ] as const;
    for (const [one, other, expected] of pairs) {
      assert.equal(hostsOverlap(one, other), expected, `${one} ${other}`);
      assert.equal(hostsOverlap(other, one), expected, `${other} ${one}`);
    }
  });

  it("a host is in each zone above it but the top-level domain", () => {
    const names = zonesOf("account", "a.b.example.com").map(({ name }) => name);
    assert.deepEqual(names, ["a.b.example.com", "b.example.com", "example.com"]);
    assert.equal(hostOf("*.example.com/a/b"), "example.com");
  });
});
