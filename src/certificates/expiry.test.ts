import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { describeExpiry, expiryThreshold } from "./expiry.ts";

const now = new Date("2026-11-23T12:00:00Z");
const SECOND = 1000;
const HOUR = 3600 * SECOND;
const DAY = 24 * HOUR;

function after(milliseconds: number): Date {
  return new Date(now.getTime() + milliseconds);
}

describe("an expiry in words", () => {
  const cases: readonly (readonly [number, string])[] = [
    [365 * DAY, "expires in 365 days"],
    [3 * DAY, "expires in 3 days"],
    [3 * DAY - 1, "expires in 2 days"],
    [DAY, "expires in 1 day"],
    [DAY - 1, "expires in 23 hours"],
    [HOUR, "expires in 1 hour"],
    [90 * SECOND, "expires in 1 minute"],
    [SECOND, "expires in 1 second"],
    [0, "expires in 0 seconds"],
    [-SECOND, "expired 1 second ago"],
    [-2 * HOUR, "expired 2 hours ago"],
    [-400 * DAY, "expired 400 days ago"],
  ];
  for (const [left, words] of cases) {
    it(words, () => assert.equal(describeExpiry(after(left), now), words));
  }
});

it("the threshold is the narrowest that was passed", () => {
  const cases: readonly (readonly [number, number | null])[] = [
    [31 * DAY, null],
    [30 * DAY + 1, null],
    [30 * DAY, 30],
    [14 * DAY + 1, 30],
    [14 * DAY, 14],
    [7 * DAY, 7],
    [3 * DAY, 3],
    [2.5 * DAY, 3],
    [DAY, 1],
    [0, 1],
    [-1, 0],
  ];
  for (const [left, threshold] of cases) {
    assert.equal(expiryThreshold(after(left), now), threshold, `${left} ms left`);
  }
});
