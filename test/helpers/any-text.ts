import * as fc from "fast-check";

/**
 * A string of any code points, halves of surrogates among them. `fc.string({ unit: "binary" })` makes
 * a table of all of them first, for two seconds.
 */
export const anyText: fc.Arbitrary<string> = fc.string({
  unit: fc.integer({ min: 0, max: 0x10_ff_ff }).map((code) => String.fromCodePoint(code)),
});
