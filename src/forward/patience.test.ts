import assert from "node:assert/strict";
import { test } from "node:test";
import { type Awaited, Patience } from "./patience.ts";

class Exchange implements Awaited {
  readonly via = null;
  now: ReturnType<Awaited["awaits"]> = "headers";
  readonly codes: unknown[] = [];

  awaits(): ReturnType<Awaited["awaits"]> {
    return this.now;
  }

  timedOut(error: Error): void {
    this.codes.push((error as NodeJS.ErrnoException).code);
  }
}

const LIMITS = { headers: 10_000, body: 30_000 };

test("a head is waited for as long as is allowed, a body for its own time, and each is told once", (t) => {
  t.mock.timers.enable({ apis: ["setInterval"] });
  const patience = new Patience(LIMITS);
  const [head, body] = [new Exchange(), new Exchange()];
  body.now = "body";
  patience.begin(head);
  patience.begin(body);
  t.mock.timers.tick(10_000);
  assert.deepEqual(head.codes, []);
  t.mock.timers.tick(1_000);
  assert.deepEqual(head.codes, ["UND_ERR_HEADERS_TIMEOUT"]);
  t.mock.timers.tick(19_000);
  assert.deepEqual(body.codes, []);
  t.mock.timers.tick(30_000);
  assert.deepEqual(head.codes, ["UND_ERR_HEADERS_TIMEOUT"]);
  assert.deepEqual(body.codes, ["UND_ERR_BODY_TIMEOUT"]);
});

test("a turn is waited for for as long as is allowed, or without end", (t) => {
  t.mock.timers.enable({ apis: ["setInterval"] });
  const [waiting, patient] = [new Exchange(), new Exchange()];
  waiting.now = "turn";
  patient.now = "turn";
  new Patience({ ...LIMITS, turn: 20_000 }).begin(waiting);
  new Patience(LIMITS).begin(patient);
  t.mock.timers.tick(20_000);
  assert.deepEqual(waiting.codes, []);
  t.mock.timers.tick(1_000_000);
  assert.deepEqual([waiting.codes, patient.codes], [["NO_TURN"], []]);
});

test("time begins anew with what comes, and does not pass while this side holds it up", (t) => {
  t.mock.timers.enable({ apis: ["setInterval"] });
  const patience = new Patience(LIMITS);
  const [heard, held] = [new Exchange(), new Exchange()];
  const wait = patience.begin(heard);
  patience.begin(held);
  held.now = null;
  t.mock.timers.tick(9_000);
  wait.silence = 0;
  held.now = "headers";
  t.mock.timers.tick(10_000);
  assert.deepEqual([heard.codes, held.codes], [[], []]);
  t.mock.timers.tick(1_000);
  assert.equal(heard.codes.length, 1);
  assert.equal(held.codes.length, 1);
});

test("what has ended is not waited for, and the others are", (t) => {
  t.mock.timers.enable({ apis: ["setInterval"] });
  const patience = new Patience(LIMITS);
  const exchanges = [new Exchange(), new Exchange(), new Exchange()];
  const waits = exchanges.map((one) => patience.begin(one));
  patience.end(waits[0]!);
  patience.end(waits[0]!);
  t.mock.timers.tick(60_000);
  assert.deepEqual(
    exchanges.map(({ codes }) => codes.length),
    [0, 1, 1],
  );
  // None is left, and it begins again with the next.
  const next = new Exchange();
  patience.begin(next);
  t.mock.timers.tick(11_000);
  assert.equal(next.codes.length, 1);
});

test("short limits are looked at often enough", (t) => {
  t.mock.timers.enable({ apis: ["setInterval"] });
  const patience = new Patience({ headers: 400, body: 300 });
  const head = new Exchange();
  patience.begin(head);
  t.mock.timers.tick(399);
  assert.equal(head.codes.length, 0);
  t.mock.timers.tick(151);
  assert.equal(head.codes.length, 1);
});
