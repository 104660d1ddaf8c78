/**
 * `*` matches any characters except `/`, `**` any characters. All other characters match themselves.
 * A regular expression could take for ever: the one who is named may have chosen the text, and on a
 * platform with several accounts another the pattern. This takes the text's length times the pattern's.
 */
export function matchesPattern(pattern: string, text: string): boolean {
  if (!pattern.includes("*")) return pattern === text;
  const [head = "", ...rest] = partsOf(pattern);
  if (!text.startsWith(head)) return false;
  /** 1 where the pattern may have come to in the text. */
  let places = new Uint8Array(text.length + 1);
  places[head.length] = 1;
  // A star and what follows it, in turn.
  for (let i = 0; i < rest.length; i += 2) {
    const [star = "", literal = ""] = [rest[i], rest[i + 1]];
    const next = new Uint8Array(text.length + 1);
    let isOpen = false;
    for (let at = 0; at + literal.length <= text.length; at += 1) {
      if (places[at] === 1) isOpen = true;
      if (isOpen && text.startsWith(literal, at)) next[at + literal.length] = 1;
      if (star.length === 1 && text.charCodeAt(at) === SLASH) isOpen = false;
    }
    places = next;
  }
  return places[text.length] === 1;
}

const SLASH = 47;

const known = new Map<string, readonly string[]>();

/** Literals and stars in turn, a literal first and last. */
function partsOf(pattern: string): readonly string[] {
  let parts = known.get(pattern);
  if (parts === undefined) {
    parts = pattern.split(/(\*+)/);
    // Patterns come from the policy, so there are few. The bound is for a policy that keeps changing.
    if (known.size >= 10_000) known.clear();
    known.set(pattern, parts);
  }
  return parts;
}
