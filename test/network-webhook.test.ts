import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { startControl } from "./helpers/control.ts";
import { startPlatform } from "./helpers/platform.ts";

const path = "/accounts/{account}/countersign/webhook";

test("a webhook reaches nothing of the platform's machine, and tells nothing of what is there", async () => {
  let requests = 0;
  const inside = createServer((_, response) => {
    requests += 1;
    response.writeHead(418).end();
  }).listen(0, "127.0.0.1");
  inside.unref();
  await once(inside, "listening");
  const { port } = inside.address() as AddressInfo;
  const answers = new Set<string>();
  {
    await using platform = await startPlatform({ args: [] });
    const { port: api } = new URL(platform.ready.api);
    for (const url of [
      `http://127.0.0.1:${port}/internal`,
      "http://127.0.0.1:1/",
      `https://localhost:${port}/`,
      `http://127.0.0.1:${api}/client/v4/user`,
      "http://169.254.169.254/latest/meta-data/",
    ]) {
      assert.equal((await platform.api("PUT", path, { url })).status, 200);
      const { json } = await platform.api("POST", `${path}/test`, {});
      answers.add(JSON.stringify(json.result));
    }
    assert.match(platform.log(), /port \d+ is not connected to: it is loopback/);
    assert.equal((await platform.api("POST", `${path}/test`, {})).status, 429);
  }
  assert.deepEqual([...answers], [JSON.stringify({ delivered: false, error: "not delivered" })]);
  assert.equal(requests, 0);
  inside.close();
});

test("of a webhook's answer only success is reported", async () => {
  await using control = await startControl();
  const statuses = [204, 302, 418];
  const receiver = createServer((_, response) => {
    response.writeHead(statuses.shift()!, { location: "/elsewhere" }).end();
  }).listen(0, "127.0.0.1");
  receiver.unref();
  await once(receiver, "listening");
  const { port } = receiver.address() as AddressInfo;
  await control.call("PUT", path, { url: `http://127.0.0.1:${port}/` });
  const told: unknown[] = [];
  for (const _ of [1, 2, 3]) told.push((await control.call("POST", `${path}/test`)).result.error);
  assert.deepEqual(told, [null, "not delivered", "not delivered"]);
  assert.deepEqual(statuses, [], "a redirect is not followed");
  receiver.close();
});
