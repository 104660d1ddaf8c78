/** `npm run test:long` looks deeper: more rounds of the same tests, each of another kind of chance. */
const isLong = process.env["COUNTERSIGN_LONG"] === "1";

/** How often a test does something: in `npm test`, and in `npm run test:long`. */
export function depth(usual: number, long: number): number {
  return isLong ? long : usual;
}
