import assert from "node:assert/strict";
import { test } from "node:test";
import { unknownEndpoint } from "./unknown-endpoint.ts";

test("features of Cloudflare that are not here are named, with what to do instead", () => {
  const pages = "/accounts/a1/pages/projects";
  assert.deepEqual(told(pages), [
    `no endpoint is "${pages}": Countersign does not have Pages`,
    "Deploy a Worker with static assets: docs/assets.md. docs/wrangler.md lists what works.",
  ]);
  for (const [path, feature] of [
    ["/accounts/a1/r2/buckets/b/lifecycle", /lifecycle rules of R2/],
    ["/accounts/a1/r2/buckets/b/domains/managed", /public access to R2/],
    ["/accounts/a1/event_subscriptions/subscriptions", /event subscriptions/],
    ["/zones/z1/email/routing/rules", /Email Routing/],
  ] as const) {
    assert.match(told(path)[0]!, feature);
  }
  const typo = "/accounts/a1/workers/script";
  const [message, fix] = told(typo);
  assert.equal(message, `no endpoint is "${typo}"`);
  assert.match(fix!, /openapi\.json/);
});

function told(path: string): readonly string[] {
  const { code, message, fix } = unknownEndpoint(path, path);
  assert.equal(code, "route_not_found");
  return [message, fix];
}
