import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Failure } from "../failures.ts";
import { hostOf, routePattern, zonesOf } from "./zones.ts";

describe("route patterns", () => {
  for (const [given, stored] of [
    ["example.com/*", "example.com/*"],
    ["https://API.Example.com/V1/*", "api.example.com/V1/*"],
    ["*.example.com/a*", "*.example.com/a*"],
    ["*example.com/*", "*example.com/*"],
    ["example.com", "example.com"],
    ["my-host.localhost/", "my-host.localhost/"],
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
  ]) {
    it(`${JSON.stringify(wrong)} is refused`, () => {
      assert.throws(
        () => routePattern(wrong),
        (error) => error instanceof Failure && error.code === "route_invalid",
      );
    });
  }

  it("a host is in each zone above it but the top-level domain", () => {
    const names = zonesOf("account", "a.b.example.com").map(({ name }) => name);
    assert.deepEqual(names, ["a.b.example.com", "b.example.com", "example.com"]);
    assert.equal(hostOf("*.example.com/a/b"), "example.com");
  });
});
