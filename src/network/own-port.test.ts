import assert from "node:assert/strict";
import { test } from "node:test";
import { portRefusal, type PortHolder } from "./own-port.ts";

const worker: PortHolder = {
  versions: 1,
  objects: null,
  reachedAt: ["shop.example", "*.api.example/v1/*"],
  accessDomains: ["other.example"],
  askingHosts: ["another.example"],
};

test("a Worker that needs nothing of the ingress may have its own port", () => {
  assert.equal(portRefusal(worker), null);
  assert.equal(portRefusal({ ...worker, versions: 0, reachedAt: [] }), null);
});

for (const [what, changed, reason] of [
  ["several versions", { versions: 2 }, "several versions of it would answer"],
  ["Durable Objects", { objects: "its objects" }, /^its objects live in one process, which/],
  [
    "Access before one of its hosts",
    { accessDomains: ["other.example", "shop.example/admin"] },
    "an Access application for shop.example/admin covers it",
  ],
  [
    "a host that asks for client certificates",
    { askingHosts: ["another.example", "a.api.example"] },
    "a.api.example asks for client certificates",
  ],
] as const) {
  test(`a Worker with ${what} gets none`, () => {
    const said = portRefusal({ ...worker, ...changed });
    if (typeof reason === "string") assert.equal(said, reason);
    else assert.match(said ?? "", reason);
  });
}
