import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import type { AdapterPayload } from "oidc-provider";
import { BegunLogins } from "./begun-logins.ts";

const small: AdapterPayload = { params: { state: "x" } };

/** How the admission ends, once a held-back refusal is released. Undefined: it was admitted. */
async function ended(
  t: TestContext,
  admitted: Promise<void>,
): Promise<Record<string, unknown> | undefined> {
  const end = admitted.then(
    () => undefined,
    (error: unknown) => error as Record<string, unknown>,
  );
  await turn();
  t.mock.timers.tick(150);
  return end;
}

test("sixty sign-ins may be begun at once from one address, and then one a second", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  let now = 0;
  t.mock.method(performance, "now", () => now);
  const begun = new BegunLogins();
  const from = (address: string): Promise<void> => begun.admit(small, address);
  for (let i = 0; i < 60; i += 1) await from("2001:db8::1");
  const refused = await ended(t, from("2001:db8::2"));
  assert.deepEqual(
    [refused?.["statusCode"], refused?.["error"], refused?.["allow_redirect"]],
    [429, "temporarily_unavailable", false],
  );
  assert.equal(
    refused?.["error_description"],
    "too many sign-ins were begun from this address: the next one is free in 1 s",
  );
  assert.equal(await ended(t, from("2001:db8:0:1::1")), undefined, "another network");
  assert.equal(await ended(t, begun.admit(small, null)), undefined);
  now = 1_000;
  assert.equal(await ended(t, from("2001:db8::1")), undefined);
  assert.equal((await ended(t, from("2001:db8::1")))?.["statusCode"], 429);
});

test("a refusal is held back for 150 ms", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const begun = new BegunLogins();
  let told = false;
  const refused = begun.admit({ params: { state: "x".repeat(513) } }, "192.0.2.1").catch(() => {
    told = true;
  });
  t.mock.timers.tick(149);
  await turn();
  assert.equal(told, false);
  t.mock.timers.tick(1);
  await refused;
});

test("a person who has signed in can continue, and their answers are stored, however many sign-ins were begun", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const begun = new BegunLogins();
  for (let i = 0; i < 60; i += 1) await begun.admit(small, "192.0.2.1");
  const session = { accountId: "a", uid: "u", cookie: "c" };
  assert.equal(await ended(t, begun.admit({ ...small, session }, "192.0.2.1")), undefined);
  const answered = { ...small, result: { consent: {} } };
  assert.equal(await ended(t, begun.admit(answered, "192.0.2.1")), undefined);
  assert.equal((await ended(t, begun.admit(small, "192.0.2.1")))?.["statusCode"], 429);
});

/** The stored data of a sign-in, with a scope of this length. */
function scope(length: number): AdapterPayload {
  const empty = JSON.stringify({ params: { scope: "" } }).length;
  return { params: { scope: "x".repeat(length - empty) } };
}

test("the stored data of a sign-in are bounded, also for a person who has signed in", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const begun = new BegunLogins();
  for (const fits of [{ params: { state: "x".repeat(512) } }, scope(8192), {}]) {
    assert.equal(await ended(t, begun.admit(fits, "192.0.2.1")), undefined);
  }
  const session = { accountId: "a", uid: "u", cookie: "c" };
  for (const large of [
    { params: { state: "x".repeat(513) } },
    scope(8193),
    { params: { state: "x".repeat(513) }, session },
  ]) {
    const refused = await ended(t, begun.admit(large, "192.0.2.1"));
    assert.deepEqual(
      [refused?.["statusCode"], refused?.["error"], refused?.["error_description"]],
      [400, "invalid_request", "the sign-in asks to keep more than there is room for"],
    );
  }
});

test("two hundred refusals are held back at a time, and no more", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const begun = new BegunLogins();
  const large = { params: { state: "x".repeat(513) } };
  let told = 0;
  const all = Array.from({ length: 200 }, () =>
    begun.admit(large, "192.0.2.1").catch(() => (told += 1)),
  );
  await turn();
  assert.equal(told, 0);
  await assert.rejects(begun.admit(large, "192.0.2.1"));
  t.mock.timers.tick(150);
  await Promise.all(all);
  const again = begun.admit(large, "192.0.2.1").catch(() => (told += 1));
  await turn();
  assert.equal(told, 200, "their places are free again");
  t.mock.timers.tick(150);
  await again;
});
