import assert from "node:assert/strict";
import { test } from "node:test";
import { Places } from "./places.ts";

test("as many as the limit have a place at once, the next one when one is given back", async () => {
  const places = new Places();
  const [first, second] = [await places.take(2, 1_000), await places.take(2, 1_000)];
  const order: string[] = [];
  const third = places.take(2, 1_000).then((place) => (order.push("third"), place));
  const fourth = places.take(2, 1_000).then((place) => (order.push("fourth"), place));
  first!();
  await third;
  assert.deepEqual(order, ["third"]);
  second!();
  await fourth;
  assert.deepEqual(order, ["third", "fourth"]);
});

test("a place that is given back twice is free once", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const places = new Places();
  const first = await places.take(1, 1_000);
  first!();
  first!();
  assert.notEqual(await places.take(1, 1_000), null);
  const late = places.take(1, 1_000);
  t.mock.timers.tick(1_000);
  assert.equal(await late, null);
});

test("a request that has waited too long gets no connection, and takes none from those that still wait", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const places = new Places();
  const first = await places.take(1, 1_000);
  const patient = places.take(1, 5_000);
  const hasty = places.take(1, 1_000);
  const last = places.take(1, 6_000);
  t.mock.timers.tick(1_000);
  assert.equal(await hasty, null);
  first!();
  const place = await patient;
  t.mock.timers.tick(4_000);
  assert.notEqual(place, null, "its time-out is over with its waiting");
  place!();
  assert.notEqual(await last, null);
});
