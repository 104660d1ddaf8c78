import { Failure } from "../failures/failures.ts";

/** Half of a surrogate pair can only be written as an escape. */
const MAY_BE_HALF = /\\u[dD][89a-fA-F]/;
/** Lists and objects in one another. What reads JSON piece by piece has a stack that ends. */
const DEEPEST = 500;
/** Characters. A longer text has few values for its length: names and numbers by the hundred thousand take seconds. */
const LONG = 1024 * 1024;
const MOST_VALUES = 100_000;

/**
 * JSON that a client sent. Each of its texts is Unicode: half of a surrogate pair has no bytes, so no
 * database and no URL keeps it, and two names that differ in it alone become one.
 *
 * @throws SyntaxError, if it is no JSON
 * @throws Failure `text_not_unicode`; `json_too_deep`, beyond 500 lists and objects in one another; `too_many_parts`,
 * if it is longer than 1 MiB and has more than 100,000 values
 */
export function parseSentJson(text: string): unknown {
  if (text.length > LONG) assertFewValues(text);
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

/** Looks at what stands outside of quotes, before anything is made of it. */
function assertFewValues(text: string): void {
  let values = 0;
  for (let at = 0; at < text.length; at += 1) {
    const character = text[at];
    if (character === '"') {
      at = endOfString(text, at);
      if (at < 0) return;
    } else if (character === "," && ++values > MOST_VALUES) {
      throw new Failure("too_many_parts", {
        message: `the JSON is longer than 1 MiB and has more than ${MOST_VALUES} values`,
        facts: { limit: MOST_VALUES },
      });
    }
  }
}

/** The place of the quote that ends a string. -1: it does not end. */
function endOfString(text: string, begin: number): number {
  for (let at = text.indexOf('"', begin + 1); at >= 0; at = text.indexOf('"', at + 1)) {
    let slashes = 0;
    while (text[at - 1 - slashes] === "\\") slashes += 1;
    if (slashes % 2 === 0) return at;
  }
  return -1;
}

function assertUnicode(text: unknown): void {
  if (typeof text !== "string" || text.isWellFormed()) return;
  // It may be a secret, so it is not shown.
  throw new Failure("text_not_unicode", {
    message: "a text or a name of the body has half of a surrogate pair",
  });
}
