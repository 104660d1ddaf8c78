/** `/orders`, or with a star at its end all that begins with it: `/orders/*`. */
export function isPathPattern(text: string): boolean {
  const stem = text.endsWith("*") ? text.slice(0, -1) : text;
  return stem.startsWith("/") && !/[*?#\s]/.test(stem) && canonicalPath(stem) !== null;
}

/**
 * The path of a request target, as every server behind reads it. Null: servers differ over what it
 * means (`..`, `//`, an encoded slash, a backslash, a control character, broken `%`), so only a rule
 * for all paths may let it through.
 * @param target `/orders?x=1`; an absolute URL counts as its path
 */
export function canonicalPath(target: string): string | null {
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
  // An encoded slash, backslash, percent sign or semicolon is one segment to some and two to others.
  if (/%2f|%5c|%25|%00|%3b/i.test(path) || hasControl(decoded)) return null;
  const dots = decoded.split("/").some((part) => /^\.{1,2}(?:;|$)/.test(part));
  return dots ? null : decoded;
}

/** A backslash is a slash to some; a space or a control character ends the target to others. */
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
export function pathMatches(pattern: string, path: string | null): boolean {
  if (pattern === "/*") return true;
  if (path === null) return false;
  const wanted = canonicalPath(pattern.endsWith("*") ? pattern.slice(0, -1) : pattern);
  if (wanted === null) return false;
  return pattern.endsWith("*") ? path.startsWith(wanted) : path === wanted;
}
