import assert from "node:assert/strict";
import { test } from "node:test";
import { RoutingTable } from "./table.ts";

function tableOf(scripts: Record<string, { hosts?: string[]; routes?: string[] }>): RoutingTable {
  const table = new RoutingTable();
  table.update(
    Object.entries(scripts).map(([scriptName, { hosts = [], routes = [] }]) => ({
      accountId: "account",
      scriptName,
      entry: { hosts, routes, targets: [{ sockets: [scriptName], percentage: 100 }] },
    })),
  );
  return table;
}

function find(table: RoutingTable, host: string, path = "/"): string | null {
  return table.find(host, path)?.targets[0]?.sockets[0] ?? null;
}

test("an exact host wins over a wildcard, a longer wildcard over a shorter", () => {
  const table = tableOf({
    wide: { hosts: ["*.example.com"] },
    narrow: { hosts: ["*.shop.example.com"] },
    exact: { hosts: ["www.example.com"] },
  });
  assert.equal(find(table, "www.example.com"), "exact");
  assert.equal(find(table, "other.example.com"), "wide");
  assert.equal(find(table, "a.b.example.com"), "wide");
  assert.equal(find(table, "a.shop.example.com"), "narrow");
  assert.equal(find(table, "example.com"), null);
  assert.equal(find(table, "notexample.com"), null);
});

test("a route with a path wins over its host, the longest path over the others", () => {
  const table = tableOf({
    host: { hosts: ["example.com"] },
    api: { routes: ["example.com/api/*"] },
    images: { routes: ["https://example.com/api/images*"] },
    page: { routes: ["example.com/about"] },
  });
  assert.equal(find(table, "example.com", "/"), "host");
  assert.equal(find(table, "example.com", "/api"), "host");
  assert.equal(find(table, "example.com", "/api/users?x=1"), "api");
  assert.equal(find(table, "example.com", "/api/images"), "images");
  assert.equal(find(table, "example.com", "/api/images2/x"), "images");
  assert.equal(find(table, "example.com", "/about"), "page");
  assert.equal(find(table, "example.com", "/about?query"), "host");
});

test("a route is found by the path that the Worker will read from the URL", () => {
  const table = tableOf({
    host: { hosts: ["example.com"] },
    api: { routes: ["example.com/api/*"] },
  });
  assert.equal(find(table, "example.com", "/api/../admin"), "host");
  assert.equal(find(table, "example.com", "/api/%2e%2E/admin"), "host");
  assert.equal(find(table, "example.com", "/x/..\\api/y"), "api");
  assert.equal(find(table, "example.com", "//api/"), "host");
});

test("a pattern with a star and no dot matches the host itself as well", () => {
  const table = tableOf({
    any: { routes: ["*example.com/x/*"] },
    below: { routes: ["*.example.org/*"] },
  });
  assert.equal(find(table, "example.com", "/x/1"), "any");
  assert.equal(find(table, "a.example.com", "/x/1"), "any");
  assert.equal(find(table, "myexample.com", "/x/1"), "any");
  assert.equal(find(table, "example.org", "/"), null);
  assert.equal(find(table, "a.example.org", "/"), "below");
});

test("a more specific host wins over a longer path, as on Cloudflare", () => {
  const table = tableOf({ a: { routes: ["*.example.com/a"] }, b: { routes: ["a.example.com/*"] } });
  assert.equal(find(table, "a.example.com", "/a"), "b");
  assert.equal(find(table, "c.example.com", "/a"), "a");
});

test("a script that goes takes its hosts with it, and only its own", () => {
  const table = tableOf({ one: { hosts: ["one.example"] }, two: { hosts: ["two.example"] } });
  table.update([{ accountId: "account", scriptName: "one", entry: null }]);
  assert.equal(find(table, "one.example"), null);
  assert.equal(find(table, "two.example"), "two");
});
