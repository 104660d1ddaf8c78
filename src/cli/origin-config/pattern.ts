/**
 * Regular expressions that PCRE and RE2 read alike and that need no quoting in configuration files: everything but
 * letters, digits and a few signs is `\xHH`, and no braces are used.
 */

/** Text that matches itself. Each UTF-8 byte of a character outside ASCII is written according to `escape`. */
export function literal(text: string, escape: "raw" | "hex-in-name" = "raw"): string {
  return text.replaceAll(/./gsu, (char) => one(char, escape));
}

function one(char: string, escape: "raw" | "hex-in-name"): string {
  if (/[A-Za-z0-9/_:=,-]/.test(char)) return char;
  const code = char.codePointAt(0)!;
  if (code < 128) return hex(code);
  if (escape === "raw") return char;
  // OpenSSL writes bytes of a name outside ASCII as `\C3\A9` (RFC 2253).
  return [...Buffer.from(char)]
    .map((byte) => String.raw`\x5c${byte.toString(16).toUpperCase()}`)
    .join("");
}

function hex(code: number): string {
  return String.raw`\x${code.toString(16).padStart(2, "0")}`;
}

/** A policy's pattern: `*` becomes `star`, and `**` matches any characters. */
export function starred(
  pattern: string,
  { star, read }: { readonly star: string; readonly read: (part: string) => string },
): string {
  return pattern
    .split(/(\*+)/)
    .map((part) => (part === "*" ? star : part.startsWith("*") ? ".*" : read(part)))
    .join("");
}

export function anyOf(patterns: readonly string[]): string {
  return patterns.length === 1 ? patterns[0]! : `(?:${patterns.join("|")})`;
}

const X = "[0-9a-fA-F]";
/** A percent-encoded continuation byte of UTF-8. */
const T = `%[89abAB]${X}`;

/** Percent-encoded characters that every server decodes alike. */
const ENCODED = [
  "%2[0-46-9a-dA-D]",
  "%3[0-9aAc-fC-F]",
  `%[46]${X}`,
  "%5[0-9abABd-fD-F]",
  "%7[0-9a-eA-E]",
  `%[cC][2-9a-fA-F]${T}`,
  `%[dD]${X}${T}`,
  `%[eE]0%[abAB]${X}${T}`,
  `%[eE][1-9a-cefA-CEF]${T}${T}`,
  `%[eE][dD]%[89]${X}${T}`,
  `%[fF]0%[9abAB]${X}${T}${T}`,
  `%[fF][1-3]${T}${T}${T}`,
  `%[fF]4%8${X}${T}${T}`,
].join("|");

/** Visible ASCII except `#`, `%`, `/`, `?` and the backslash; the second one also without `.` and `;`. */
const ANY = String.raw`[\x21\x22\x24\x26-\x2e\x30-\x3e\x40-\x5b\x5d-\x7e]`;
const PLAIN = String.raw`[\x21\x22\x24\x26-\x2d\x30-\x3a\x3c-\x3e\x40-\x5b\x5d-\x7e]`;
const REST = `(?:${ANY}|${ENCODED})*`;
const SEGMENT = `(?:[.]?[.]?(?:${PLAIN}|${ENCODED})${REST}|[.][.][.]${REST})`;

/**
 * A path that can be read in one way only, not anchored: the paths that {@link canonicalPath} of countersign-origin
 * accepts, except those with needlessly encoded dots. Other paths match only a rule for all paths.
 */
export const CLEAR_PATH: string = `(?:/${SEGMENT})*/?`;

/** A rule's path, for targets that match CLEAR_PATH. */
export interface PathPattern {
  /** As it appears in a request: percent-encoded where necessary. */
  readonly text: string;
  /** The same as a regular expression, not anchored; hexadecimal digits in either case. */
  readonly pattern: string;
  readonly isPrefix: boolean;
}

export function pathTest(path: string): PathPattern {
  const isPrefix = path.endsWith("*");
  const text = isPrefix ? path.slice(0, -1) : path;
  const encoded = encodeURI(decodeURIComponent(text));
  const pattern = encoded.replaceAll(/%..|[^%]/gsu, (part) =>
    part.startsWith("%")
      ? part.replaceAll(/[A-F]/g, (digit) => `[${digit}${digit.toLowerCase()}]`)
      : literal(part),
  );
  return { text: encoded, pattern, isPrefix };
}
