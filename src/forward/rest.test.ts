import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { Rest } from "./rest.ts";

/** What has ended after so many ms. Nothing waits really. */
function resting(t: TestContext): {
  after: (ms: number) => string[];
  done: (name: string) => () => void;
} {
  t.mock.timers.enable({ apis: ["setTimeout", "setImmediate"] });
  const ended: string[] = [];
  return {
    after: (ms) => {
      t.mock.timers.tick(ms);
      return ended.splice(0);
    },
    done: (name) => () => void ended.push(name),
  };
}

test("a sender of many pieces waits a ms for each time, and is told once", (t) => {
  const { after, done } = resting(t);
  const rest = new Rest();
  assert.equal(rest.isOn, false);
  for (let i = 0; i < 3; i += 1) rest.extend(done("one"));
  assert.equal(rest.isOn, true);
  // What was read already is counted before the time begins.
  assert.deepEqual(after(0), []);
  assert.deepEqual(after(2), []);
  assert.equal(rest.isOn, true);
  assert.deepEqual(after(1), ["one"]);
  assert.equal(rest.isOn, false);
  rest.extend(done("again"));
  assert.deepEqual(after(0), []);
  assert.deepEqual(after(1), ["again"]);
});

test("the more senders wait, the longer each does: all together take a fixed share", (t) => {
  const { after, done } = resting(t);
  const [one, other] = [new Rest(), new Rest()];
  one.extend(done("one"));
  other.extend(done("other"));
  other.extend(done("other"));
  assert.deepEqual(after(0), []);
  assert.deepEqual(after(1), []);
  assert.deepEqual(after(1), ["one"]);
  assert.deepEqual(after(1), []);
  assert.deepEqual(after(1), ["other"]);
  const alone = new Rest();
  alone.extend(done("alone"));
  assert.deepEqual(after(0), []);
  assert.deepEqual(after(1), ["alone"]);
});
