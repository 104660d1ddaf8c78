import assert from "node:assert/strict";
import { Duplex } from "node:stream";
import { mock, test } from "node:test";
import { StalledReaders } from "./stalled-readers.ts";

const LIMIT = 1_000;

/** One that takes what is written to it when it is told to. */
class Slow extends Duplex {
  #taken: (() => void) | null = null;

  constructor() {
    super({ highWaterMark: 10 });
  }

  override _read(): void {}

  override _write(_chunk: Buffer, _encoding: string, taken: () => void): void {
    this.#taken = taken;
  }

  /** One chunk. */
  takeOne(): void {
    const taken = this.#taken!;
    this.#taken = null;
    taken();
  }
}

/** @param each what happens in each tenth of the limit */
async function isCut(stream: Slow, each: () => void = () => {}, limit = LIMIT): Promise<boolean> {
  mock.timers.enable({ apis: ["setInterval"] });
  let cut = 0;
  const readers = new StalledReaders(limit, () => (cut += 1));
  readers.stream(stream, () => stream.destroy());
  for (let i = 0; i < 30; i++) {
    each();
    // `drain` comes later.
    await new Promise(setImmediate);
    mock.timers.tick(LIMIT / 10);
  }
  mock.timers.reset();
  assert.equal(stream.destroyed, cut === 1);
  return cut === 1;
}

test("a reader that takes nothing of what waits for it is cut, for its end too", async () => {
  const written = new Slow();
  written.write("something");
  assert.equal(await isCut(written), true);
  const ended = new Slow();
  ended.end("all of it");
  assert.equal(await isCut(ended), true);
  const growing = new Slow();
  assert.equal(await isCut(growing, () => growing.write("more")), true);
});

test("a reader that takes a little now and then goes on", async () => {
  const stream = new Slow();
  for (let i = 0; i < 10; i++) stream.write("something");
  let turn = 0;
  const now = (): void => {
    turn += 1;
    if (turn % 5 === 0) stream.takeOne();
  };
  assert.equal(await isCut(stream, now), false);
});

test("a reader that takes all of it goes on, though as much waits at each look", async () => {
  const stream = new Slow();
  const full = "something that is too much";
  stream.write(full);
  const again = (): void => stream.takeOne();
  stream.on("drain", () => stream.write(full));
  assert.equal(await isCut(stream, again), false);
});

test("one to which nothing is sent goes on for as long as it likes", async () => {
  assert.equal(await isCut(new Slow()), false);
  const stream = new Slow();
  stream.write("something");
  stream.takeOne();
  assert.equal(await isCut(stream), false);
});

test("without a limit nobody is cut", async () => {
  const stream = new Slow();
  stream.write("something");
  assert.equal(await isCut(stream, () => {}, 0), false);
});
