import { Failure } from "../failures/failures.ts";

/** Half of a surrogate pair can only be written as an escape. */
const MAY_BE_HALF = /\\u[dD][89a-fA-F]/;

/**
 * JSON that a client sent. Each of its texts is Unicode: half of a surrogate pair has no bytes, so no
 * database and no URL keeps it, and two names that differ in it alone become one.
 *
 * @throws SyntaxError, if it is no JSON
 * @throws Failure `text_not_unicode`
 */
export function parseSentJson(text: string): unknown {
  return JSON.parse(text, MAY_BE_HALF.test(text) ? assertUnicode : undefined);
}

function assertUnicode(name: string, value: unknown): unknown {
  if (name.isWellFormed() && (typeof value !== "string" || value.isWellFormed())) return value;
  const where = name === "" ? "" : ` at ${JSON.stringify(name.slice(0, 100))}`;
  throw new Failure("text_not_unicode", { message: `half of a surrogate pair stands${where}` });
}
