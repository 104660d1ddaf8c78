import { env } from "cloudflare:workers";
import { expect, test } from "vitest";
import worker, { type Env } from "../src/index.ts";

test("PostgreSQL lets the Worker in, by its certificate", async () => {
  const response = await worker.fetch(new Request("http://orders/"), env as Env);
  expect(await response.json()).toEqual({
    user: "dev",
    dn: "/O=Countersign development/OU=test/CN=dev",
  });
});

test("what answers is no database: the driver says so", async () => {
  const { WRONG } = env as unknown as { readonly WRONG: Hyperdrive };
  const response = await worker.fetch(new Request("http://orders/"), { DB: WRONG });
  expect(await response.json()).toEqual({
    error: expect.stringMatching(/^(database|origin)_\w+: /),
  });
});
