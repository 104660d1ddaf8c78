import { Failure } from "../failures/failures.ts";

/** Half of a surrogate pair can only be written as an escape. */
const MAY_BE_HALF = /\\u[dD][89a-fA-F]/;
/** Lists and objects in one another. What reads JSON piece by piece has a stack that ends. */
const DEEPEST = 500;

/**
 * JSON that a client sent. Each of its texts is Unicode: half of a surrogate pair has no bytes, so no
 * database and no URL keeps it, and two names that differ in it alone become one.
 *
 * @throws SyntaxError, if it is no JSON
 * @throws Failure `text_not_unicode`; `json_too_deep`, beyond 500 lists and objects in one another
 */
export function parseSentJson(text: string): unknown {
  const value: unknown = JSON.parse(text);
  const mayBeHalf = MAY_BE_HALF.test(text);
  let level: unknown[] = [value];
  for (let depth = 0; level.length > 0; depth += 1) {
    if (mayBeHalf) level.forEach((one) => assertUnicode(one));
    level = level.filter((one) => typeof one === "object" && one !== null);
    if (level.length > 0 && depth === DEEPEST) throw new Failure("json_too_deep");
    level = level.flatMap((one) => {
      if (mayBeHalf && !Array.isArray(one)) Object.keys(one as object).forEach(assertUnicode);
      return Object.values(one as object) as unknown[];
    });
  }
  return value;
}

function assertUnicode(text: unknown): void {
  if (typeof text !== "string" || text.isWellFormed()) return;
  // It may be a secret, so it is not shown.
  throw new Failure("text_not_unicode", {
    message: "a text or a name of the body has half of a surrogate pair",
  });
}
