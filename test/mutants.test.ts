import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { otherTests } from "../scripts/mutants-behaviour.ts";
import { countOf, withFigures, type Figure } from "../scripts/mutants-figures.ts";
import { nearestTests } from "../scripts/mutants.ts";
import { importsIn } from "../scripts/rooms.ts";

function nearest(file: string, ...imports: readonly (readonly [string, string])[]): string[] {
  return nearestTests(
    file,
    imports.map(([from, to]) => ({ from, to })),
  );
}

suite("the nearest tests of a file", () => {
  test("are those that import it, and not those further away", () => {
    const own = ["a/first.test.ts", "a/one.ts"] as const;
    const other = ["b/two.test.ts", "a/one.ts"] as const;
    const far = ["c/three.test.ts", "c/three.ts"] as const;
    const between = ["c/three.ts", "a/one.ts"] as const;
    assert.deepEqual(nearest("a/one.ts", far, between, other, own), [own[0], other[0]]);
    assert.deepEqual(nearest("a/one.ts", far, between), [far[0]]);
  });

  test("are the only one with the name, if there is one", () => {
    const own = ["a/one.test.ts", "a/one.ts"] as const;
    assert.deepEqual(nearest("a/one.ts", ["a/other.test.ts", "a/one.ts"], own), [own[0]]);
  });

  test("are none where no test reaches it, also in a circle", () => {
    assert.deepEqual(nearest("a.ts", ["b.ts", "a.ts"], ["a.ts", "b.ts"]), []);
  });

  test("stand beside the source, where there are any", () => {
    const { imports } = importsIn(join(import.meta.dirname, "../src"));
    assert.deepEqual(nearestTests("network/throttle.ts", imports), ["network/throttle.test.ts"]);
  });
});

function of(file: string, all: number, killed: number): Figure {
  return { file, all, killed, date: "2026-11-26" };
}

suite("the figures", () => {
  const text =
    "Why.\n\n| file                | mutants | killed | share | measured   |\n| --- | --- | --- | --- | --- |\n";

  test("count what was noticed, and what ran into its time; what does not start counts for nothing", () => {
    const mutants = ["Killed", "Timeout", "Survived", "NoCoverage", "RuntimeError", "Ignored"];
    assert.deepEqual(countOf(mutants.map((status) => ({ status }))), { all: 4, killed: 2 });
  });

  test("a file measured again takes the place of its last figures, and rooms are summed", () => {
    let now = withFigures(text, of("src/keys/b.ts", 10, 1));
    now = withFigures(now, of("src/keys/a.ts", 10, 9));
    now = withFigures(now, of("src/control/access/c.ts", 3, 2));
    now = withFigures(now, of("src/keys/b.ts", 30, 27));
    assert.deepEqual(now.split("\n").slice(2), [
      "| file | mutants | killed | share | measured |",
      "| --- | --- | --- | --- | --- |",
      "| **`src/control/access/`** | 3 | 2 | 66 % |  |",
      "| `src/control/access/c.ts` | 3 | 2 | 66 % | 2026-11-26 |",
      "| **`src/keys/`** | 40 | 36 | 90 % |  |",
      "| `src/keys/a.ts` | 10 | 9 | 90 % | 2026-11-26 |",
      "| `src/keys/b.ts` | 30 | 27 | 90 % | 2026-11-26 |",
      "",
    ]);
    assert.throws(() => withFigures("Why.", of("src/keys/a.ts", 1, 1)), /no table/);
  });
});

test("the tests that are named for a file are there, as is the file", () => {
  for (const [file, tests] of Object.entries(otherTests)) {
    for (const one of [file, ...tests]) {
      assert.ok(existsSync(join(import.meta.dirname, "..", one)), one);
    }
  }
});
