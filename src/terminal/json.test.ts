import assert from "node:assert/strict";
import { PassThrough } from "node:stream";
import { text } from "node:stream/consumers";
import { test } from "node:test";
import { writeJson } from "./io.ts";

test("the fields of --json are in snake_case; names of others in it stay as they are", async () => {
  const out = new PassThrough();
  const at = new Date(0);
  writeJson(out, {
    accountId: "a",
    workers: [{ scriptName: "myWorker", acceptedAuthorities: null }],
    CLOUDFLARE_API_TOKEN: "t",
    headers: { xMade: 1 },
    after: { expiresOn: at },
    at,
  });
  out.end();
  assert.deepEqual(JSON.parse(await text(out)), {
    account_id: "a",
    workers: [{ script_name: "myWorker", accepted_authorities: null }],
    CLOUDFLARE_API_TOKEN: "t",
    headers: { xMade: 1 },
    after: { expiresOn: at.toISOString() },
    at: at.toISOString(),
  });
});
