import assert from "node:assert/strict";
import { test } from "node:test";
import { shownInstance, toldInstance } from "./history.ts";

const createdOn = "2026-11-26T20:00:00.000Z";
const at = (seconds: number): number => Date.parse(createdOn) + seconds * 1000;
const time = (seconds: number): string => new Date(at(seconds)).toISOString();

test("an instance is shown with its steps, and each attempt of them", () => {
  const events = [
    { type: "workflow_started", timestamp: at(1), params: { of: "books" } },
    { type: "step_started", timestamp: at(2), stepName: "pay-1", config: { timeout: 1 } },
    { type: "attempt_started", timestamp: at(2), stepName: "pay-1", attempt: 1 },
    { type: "attempt_errored", timestamp: at(3), stepName: "pay-1", error: { message: "no" } },
    { type: "attempt_started", timestamp: at(4), stepName: "pay-1", attempt: 2 },
    { type: "attempt_completed", timestamp: at(5), stepName: "pay-1", attempt: 2 },
    { type: "step_completed", timestamp: at(5), stepName: "pay-1", output: 7 },
    { type: "sleep_started", timestamp: at(6), stepName: "pay-1" },
    { type: "wait_started", timestamp: at(7), stepName: "sent-1" },
    { type: "wait_timed_out", timestamp: at(8), stepName: "sent-1" },
    { type: "workflow_errored", timestamp: at(9), error: { name: "Error", message: "late" } },
  ];
  const error = { name: "Error", message: "late" };
  const shown = shownInstance({ status: "errored", error, createdOn, events });
  assert.deepEqual(
    {
      start: shown["start"],
      end: shown["end"],
      success: shown["success"],
      params: shown["params"],
    },
    { start: time(1), end: time(9), success: false, params: { of: "books" } },
  );
  assert.deepEqual(shown["steps"], [
    {
      name: "pay-1",
      type: "step",
      start: time(2),
      end: time(5),
      success: true,
      config: { timeout: 1 },
      attempts: [
        { start: time(2), end: time(3), success: false, error: { message: "no" } },
        { start: time(4), end: time(5), success: true, error: null },
      ],
      output: 7,
    },
    { name: "pay-1", type: "sleep", start: time(6), end: null, finished: false, error: null },
    {
      name: "sent-1",
      type: "waitForEvent",
      start: time(7),
      end: time(8),
      finished: true,
      output: null,
      error: null,
    },
  ]);
});

test("an instance that runs again after a restart has no end", () => {
  const events = [{ type: "workflow_errored", timestamp: at(1) }];
  const shown = shownInstance({ status: "running", createdOn, events });
  assert.deepEqual([shown["end"], shown["success"]], [null, null]);
});

test("what a process says is taken only as the engine would say it", () => {
  const told = { status: "running", createdOn, events: [] };
  assert.equal(toldInstance.safeParse(told).success, true);
  for (const wrong of [
    { status: 1 },
    { createdOn: "now" },
    { events: [{ type: "step_started", timestamp: 1e300 }] },
    { events: [null] },
  ]) {
    assert.equal(toldInstance.safeParse({ ...told, ...wrong }).success, false);
  }
});
