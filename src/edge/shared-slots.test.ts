import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { SharedSlots } from "./shared-slots.ts";

/** Tasks that end when they are told to. */
class Bench {
  readonly running: string[] = [];
  readonly #ends = new Map<string, () => void>();
  readonly #slots: SharedSlots;

  constructor(spare: number) {
    this.#slots = new SharedSlots(spare);
  }

  async start(owner: string, name: string): Promise<void> {
    void this.#slots.run(owner, () => {
      this.running.push(name);
      return new Promise<void>((resolve) => this.#ends.set(name, resolve));
    });
    await settle();
  }

  async end(name: string): Promise<void> {
    this.running.splice(this.running.indexOf(name), 1);
    this.#ends.get(name)!();
    await settle();
  }
}

const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test("an owner's first task runs at once, however many another has", async () => {
  const bench = new Bench(1);
  for (let i = 0; i < 12; i++) await bench.start("B", `b${i}`);
  assert.deepEqual(bench.running, ["b0", "b1"]);
  await bench.start("A", "a0");
  assert.deepEqual(bench.running, ["b0", "b1", "a0"]);
});

test("a free slot goes to the owners in turn, not to the one that asked first", async () => {
  const bench = new Bench(1);
  for (const name of ["b0", "b1", "b2", "b3"]) await bench.start("B", name);
  for (const name of ["a0", "a1", "a2"]) await bench.start("A", name);
  await bench.end("b1");
  await bench.end("b2");
  assert.deepEqual(bench.running, ["b0", "a0", "a1"]);
});

test("a task that fails frees its slot", async () => {
  const slots = new SharedSlots(0);
  await assert.rejects(
    slots.run("A", () => Promise.reject(new Error("no"))),
    /no/,
  );
  assert.equal(await slots.run("A", async () => 1), 1);
});

test("whatever comes and goes, everything runs, and never more than one an owner and the spare ones", async () => {
  const tasks = fc.array(fc.record({ owner: fc.constantFrom("A", "B", "C"), turns: fc.nat(4) }), {
    maxLength: 40,
  });
  await fc.assert(
    fc.asyncProperty(tasks, fc.nat(3), async (list, spare) => {
      const slots = new SharedSlots(spare);
      const running = { A: 0, B: 0, C: 0 } as Record<string, number>;
      await Promise.all(
        list.map(({ owner, turns }) =>
          slots.run(owner, async () => {
            running[owner]!++;
            const borrowed = Object.values(running).reduce((sum, n) => sum + Math.max(n - 1, 0), 0);
            assert.ok(borrowed <= spare);
            for (let i = 0; i < turns; i++) await Promise.resolve();
            running[owner]!--;
          }),
        ),
      );
    }),
    { numRuns: 200 },
  );
});
