import * as fc from "fast-check";

/**
 * A string of any code points, including halves of surrogate pairs. `fc.string({ unit: "binary" })` would first build a
 * table of all code points, which takes two seconds.
 */
export const anyText: fc.Arbitrary<string> = fc.string({
  unit: fc.integer({ min: 0, max: 0x10_ff_ff }).map((code) => String.fromCodePoint(code)),
});
