import assert from "node:assert/strict";
import { test } from "node:test";
import { AddressPolicy } from "../../network/addresses.ts";
import { dial, type Network } from "./dial.ts";
import { defaultOptions } from "../../contract/gateway-options.ts";

const addresses = { allow: [], deny: [], development: false, denyLocalPorts: [] };

function network(resolve: Network["resolve"]): Network {
  return {
    policy: new AddressPolicy(addresses),
    timeouts: { ...defaultOptions.timeouts, dns: 20, connect: 50 },
    resolve,
  };
}

test("a name that does not resolve in time says so", async () => {
  const silent = network(() => new Promise(() => {}));
  await assert.rejects(dial({ host: "slow.example", port: 443 }, silent), {
    code: "origin_name_timeout",
    message: '"slow.example" did not resolve within 20 ms',
  });
});

test("a resolver's failure is reported with its code", async () => {
  const broken = network(() =>
    Promise.reject(Object.assign(new Error("no"), { code: "EAI_AGAIN" })),
  );
  await assert.rejects(dial({ host: "broken.example", port: 443 }, broken), {
    code: "origin_name_not_found",
    message: '"broken.example" does not resolve (EAI_AGAIN)',
  });
});

test("a name without an address is refused", async () => {
  const empty = network(() => Promise.resolve([]));
  await assert.rejects(dial({ host: "empty.example", port: 443 }, empty), {
    code: "origin_address_refused",
  });
});

test("a name is resolved once, and what was judged is what is connected to", async () => {
  let lookups = 0;
  // A rebinding name: allowed the first time, loopback from then on.
  const rebinding = network(() => {
    lookups += 1;
    const address = lookups === 1 ? "192.0.2.1" : "127.0.0.1";
    return Promise.resolve([{ address, family: 4 }]);
  });
  await assert.rejects(dial({ host: "rebind.example", port: 9 }, rebinding), (error: Error) =>
    error.message.includes("192.0.2.1"),
  );
  assert.equal(lookups, 1);
  await assert.rejects(dial({ host: "rebind.example", port: 9 }, rebinding), {
    code: "origin_address_refused",
  });
});

test("of a name's addresses only the allowed ones are tried", async () => {
  const mixed = network(() =>
    Promise.resolve([
      { address: "127.0.0.1", family: 4 },
      { address: "192.0.2.1", family: 4 },
    ]),
  );
  await assert.rejects(dial({ host: "mixed.example", port: 9 }, mixed), (error: Error) => {
    assert.doesNotMatch(error.message, /127\.0\.0\.1/);
    return true;
  });
});

test("a look-up that is too slow is called off", async () => {
  let signal: AbortSignal | undefined;
  const slow = network((_, given) => {
    signal = given;
    return new Promise(() => {});
  });
  await assert.rejects(dial({ host: "slow.example", port: 443 }, slow), {
    code: "origin_name_timeout",
  });
  assert.equal(signal?.aborted, true);
});

for (const when of ["while its name is looked up", "before it began"]) {
  test(`a dial that is called off ${when} ends at once with the reason`, async () => {
    const cancel = new AbortController();
    const timeouts = { ...defaultOptions.timeouts, dns: 20_000 };
    const silent = { ...network(() => new Promise(() => {})), timeouts, signal: cancel.signal };
    const why = new Error("nobody waits");
    if (when.startsWith("before")) cancel.abort(why);
    const dialled = dial({ host: "slow.example", port: 9 }, silent);
    cancel.abort(why);
    await assert.rejects(dialled, (error) => error === why);
  });
}
