import { env } from "cloudflare:workers";
import { expect, test } from "vitest";
import worker from "../src/index.js";

test("two mTLS bindings beside one of every other kind", async () => {
  const response = await worker.fetch(new Request("http://all/"), env);
  const { one, two, ...others } = await response.json();
  expect(one).toContain("CN=ONE");
  expect(two).toContain("CN=TWO");
  expect(others).toEqual({
    vars: "hello",
    kv: "v",
    d1: 1,
    r2: "v",
    object: 1,
    limit: true,
    service: "itself",
    version: "string",
    assets: "an asset",
  });
});
