import assert from "node:assert/strict";
import { test } from "node:test";
import { readCron } from "./expression.ts";

/**
 * The first `count` dates from 25 November 2026 (a Wednesday) on, on which the expression is due at `time`.
 */
function days(text: string, time: string, count: number): string[] {
  const cron = readCron(text);
  const found: string[] = [];
  for (let day = Date.parse(`2026-11-25T${time}Z`); found.length < count; day += 86_400_000) {
    if (cron.isDue(new Date(day))) found.push(new Date(day).toISOString().slice(0, 10));
  }
  return found;
}

test("weekdays are Cloudflare's: 1 is Sunday and 7 Saturday, or names in any case", () => {
  assert.deepEqual(days("0 22 * * 1", "22:00", 2), ["2026-11-29", "2026-12-06"]);
  assert.deepEqual(days("0 22 * * 7", "22:00", 1), ["2026-11-28"]);
  assert.deepEqual(days("0 22 * * L", "22:00", 1), ["2026-11-28"]);
  assert.deepEqual(days("10 7 * * mon-FRI", "07:10", 4), [
    "2026-11-25",
    "2026-11-26",
    "2026-11-27",
    "2026-11-30",
  ]);
});

test("the last day, the nearest weekday and the nth weekday are as Cloudflare documents them", () => {
  assert.deepEqual(days("0 0 L * *", "00:00", 2), ["2026-11-30", "2026-12-31"]);
  // 31 January 2027 is a Sunday.
  assert.deepEqual(days("59 23 LW * *", "23:59", 3), ["2026-11-30", "2026-12-31", "2027-01-29"]);
  assert.deepEqual(days("0 0 15W * *", "00:00", 2), ["2026-12-15", "2027-01-15"]);
  assert.deepEqual(days("0 0 * * 6L", "00:00", 2), ["2026-11-27", "2026-12-25"]);
  assert.deepEqual(days("0 0 * * FRI#2", "00:00", 2), ["2026-12-11", "2027-01-08"]);
  assert.deepEqual(days("0 0 1 JAN-JUN *", "00:00", 2), ["2027-01-01", "2027-02-01"]);
});

test("a day of the month and a weekday together: either will do", () => {
  assert.deepEqual(days("0 0 1 * FRI", "00:00", 3), ["2026-11-27", "2026-12-01", "2026-12-04"]);
});

test("steps and any second of the minute", () => {
  const cron = readCron("5/15 * * * *");
  const due = [...Array(60).keys()].filter((m) =>
    cron.isDue(new Date(Date.UTC(2026, 0, 1, 3, m, 59))),
  );
  assert.deepEqual(due, [5, 20, 35, 50]);
});

test("what is no expression is refused with the reason", () => {
  for (const [text, why] of [
    ["0 22 * * 0", /dayOfWeek/],
    ["0 22 * * 8", /1 \(Sunday\) to 7/],
    ["0 22 * * 6-8", /1 \(Sunday\) to 7/],
    ["* * * *", /4 fields/],
    ["* * * * * *", /6 fields/],
    ["@daily", /character/],
    ["0 0 ? * 2", /character/],
    ["60 * * * *", /minute/],
    ["/5 * * * *", /step/],
    ["0 0 31 2 *", /no day is such a day/],
    ["0 0 * * MON#6", /./],
    ["", /fields/],
    ["* * * * \u0007", /characters/],
    [`${"1,".repeat(200)}2 * * * *`, /longer/],
  ] as const) {
    assert.throws(
      () => readCron(text),
      (error: { code?: string; message: string }) =>
        error.code === "cron_invalid" && why.test(error.message),
      text,
    );
  }
});
