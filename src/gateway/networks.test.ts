import assert from "node:assert/strict";
import { test } from "node:test";
import { defaultOptions } from "../contract/gateway-options.ts";
import { Networks } from "./networks.ts";

const addresses = { allow: [], deny: [], development: false, denyLocalPorts: [8_000] };
const local = { ...addresses, allow: ["127.0.0.1"] };
const owner = { accountId: "a", scriptName: "s", bindingName: "B" };

test("what bindings may reach changes for new connections, and not for those under way", () => {
  const networks = new Networks({ ...defaultOptions, addresses });
  const before = networks.of(owner);
  assert.notEqual(before.policy.refuses("127.0.0.1", 443), null);
  networks.setAddresses(local);
  assert.equal(networks.of(owner).policy.refuses("127.0.0.1", 443), null);
  assert.notEqual(before.policy.refuses("127.0.0.1", 443), null);
  assert.equal(before.timeouts, defaultOptions.timeouts);
});

test("what is no range is refused, and what was in force stays", () => {
  const networks = new Networks({ ...defaultOptions, addresses: local });
  assert.throws(() => networks.setAddresses({ ...local, allow: ["no range"] }), TypeError);
  networks.reservePort(9_000);
  assert.equal(networks.of(owner).policy.refuses("127.0.0.1", 443), null);
});

test("a port of this process is reached by no binding, whatever else is allowed later", () => {
  const networks = new Networks({ ...defaultOptions, addresses: local });
  networks.reservePort(9_000);
  networks.reservePort(9_001);
  networks.setAddresses({ ...local, denyLocalPorts: [8_001] });
  const { policy } = networks.of(owner);
  for (const port of [9_000, 9_001, 8_001]) {
    assert.notEqual(policy.refuses("127.0.0.1", port), null, `${port}`);
  }
  for (const port of [443, 8_000]) assert.equal(policy.refuses("127.0.0.1", port), null);
});

test("connections of one binding share a look-up; another's, or another account's, do not", () => {
  const networks = new Networks({ ...defaultOptions, addresses });
  const resolves = [
    networks.of(owner),
    networks.of({ ...owner, accountId: "b" }),
    networks.of({ ...owner, scriptName: "t" }),
    networks.of({ ...owner, bindingName: "C" }),
  ].map(({ resolve }) => resolve);
  assert.equal(new Set(resolves).size, 4);
  assert.equal(networks.of({ ...owner }).resolve, resolves[0]);
});

test("keys are derived two at once, and one for each account", async () => {
  const networks = new Networks({ ...defaultOptions, addresses });
  const begun: string[] = [];
  const ends: (() => void)[] = [];
  const derived = ["a", "a", "b", "c"].map((accountId) =>
    networks.of({ ...owner, accountId }).derive!(async () => {
      begun.push(accountId);
      await new Promise<void>((fulfil) => ends.push(fulfil));
    }),
  );
  for (const expected of [
    ["a", "b"],
    ["a", "b", "a"],
    ["a", "b", "a", "c"],
  ]) {
    assert.deepEqual(begun.slice(0, 2), ["a", "b"]);
    assert.equal(begun.length, expected.length);
    ends.shift()!();
    await new Promise(setImmediate);
  }
  for (const end of ends) end();
  await Promise.all(derived);
});

test("bindings that come and go are not kept for ever", () => {
  const networks = new Networks({ ...defaultOptions, addresses });
  for (let index = 0; index < 10_050; index += 1) {
    networks.of({ ...owner, bindingName: `B${index}` });
  }
  assert.equal(networks.size, 10_000);
});
