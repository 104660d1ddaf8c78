/**
 * Whether the text is a path (`/orders`), or a path with a star at its end, which matches everything below it
 * (`/orders/*`).
 */
export function isPathPattern(text: string): boolean {
  const stem = text.endsWith("*") ? text.slice(0, -1) : text;
  return stem.startsWith("/") && !/[*?#\s]/.test(stem) && canonicalPath(stem) !== null;
}

/**
 * The path of a request target, if every server behind reads it the same way. Null: servers disagree on what it means
 * (`..`, `//`, an encoded slash, a backslash, a control character, a broken `%`), so only a rule for all paths may
 * allow it.
 * @param target `/orders?x=1`; for an absolute URL, its path counts
 */
export function canonicalPath(target: string): string | null {
  const plain = plainPath(target);
  if (plain !== null) return plain;
  const origin = /^https?:\/\/[^/?#]*/i.exec(target)?.[0] ?? "";
  const end = target.slice(origin.length).search(/[?#]/);
  const raw =
    end === -1 ? target.slice(origin.length) : target.slice(origin.length, origin.length + end);
  const path = raw === "" ? "/" : raw;
  if (!path.startsWith("/") || path.includes("//") || hasOddCharacter(path)) return null;
  let decoded: string;
  try {
    decoded = decodeURIComponent(path);
  } catch {
    return null;
  }
  // With an encoded slash, backslash, percent sign or semicolon, some servers read one segment and others two.
  if (/%2f|%5c|%25|%00|%3b/i.test(path) || hasControl(decoded)) return null;
  const dots = decoded.split("/").some((part) => /^\.{1,2}(?:;|$)/.test(part));
  return dots ? null : decoded;
}

/**
 * The path of a simple target: letters, digits, `-`, `_`, `~`, single slashes, and dots within a segment. Null: the
 * target needs a closer look.
 */
function plainPath(target: string): string | null {
  let before = 0;
  for (let i = 0; i < target.length; i++) {
    const code = target.charCodeAt(i);
    if (code === QUESTION_MARK && i > 0) return target.slice(0, i);
    if (PLAIN[code] !== 1) return null;
    if (before === SLASH ? code === SLASH || code === DOT : i === 0 && code !== SLASH) return null;
    before = code;
  }
  return target === "" ? null : target;
}

const SLASH = 47;
const DOT = 46;
const QUESTION_MARK = 63;
/** Indexed by character code. */
const PLAIN = new Uint8Array(128);
for (const character of "/-_.~ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789") {
  PLAIN[character.charCodeAt(0)] = 1;
}

/** Some servers read a backslash as a slash; for others a space or a control character ends the target. */
function hasOddCharacter(text: string): boolean {
  return text.includes("\\") || text.includes(" ") || hasControl(text);
}

function hasControl(text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code < 32 || code === 127) return true;
  }
  return false;
}

/** @param path canonical, or null: then only a pattern for all paths matches */
export type PathTest = (path: string | null) => boolean;

/** @param pattern accepted by {@link isPathPattern} */
export function readPathPattern(pattern: string): PathTest {
  if (pattern === "/*") return () => true;
  const isStem = pattern.endsWith("*");
  const wanted = canonicalPath(isStem ? pattern.slice(0, -1) : pattern);
  if (wanted === null) return () => false;
  return isStem ? (path) => path !== null && path.startsWith(wanted) : (path) => path === wanted;
}
