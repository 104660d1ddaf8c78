import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { join } from "node:path";
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
    const own = ["a/one.test.ts", "a/one.ts"] as const;
    const other = ["b/two.test.ts", "a/one.ts"] as const;
    const far = ["c/three.test.ts", "c/three.ts"] as const;
    const between = ["c/three.ts", "a/one.ts"] as const;
    assert.deepEqual(nearest("a/one.ts", far, between, other, own), [own[0], other[0]]);
    assert.deepEqual(nearest("a/one.ts", far, between), [far[0]]);
  });

  test("are none where no test reaches it, also in a circle", () => {
    assert.deepEqual(nearest("a.ts", ["b.ts", "a.ts"], ["a.ts", "b.ts"]), []);
  });

  test("stand beside the source, where there are any", () => {
    const { imports } = importsIn(join(import.meta.dirname, "../src"));
    assert.deepEqual(nearestTests("network/throttle.ts", imports), ["network/throttle.test.ts"]);
  });
});
