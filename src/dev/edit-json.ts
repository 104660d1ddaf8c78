import { parseTree, findNodeAtLocation, type JSONPath, type Node } from "jsonc-parser";

/**
 * Adds or replaces a value in JSONC, and changes no byte that does not belong to it. Missing objects along the path are
 * made.
 * @param path ends with -1 for a new last item of an array
 */
export function edited(text: string, path: JSONPath, value: unknown): string {
  const root = parseTree(text, [], { allowTrailingComma: true });
  if (root?.type !== "object") return text;
  const known = findNodeAtLocation(root, path);
  if (known) return spliced(text, known.offset, known.length, inline(value));
  const parent = deepest(root, path);
  const [next, ...missing] = path.slice(parent.depth);
  const made = missing.reduceRight<unknown>((inner, name) => ({ [String(name)]: inner }), value);
  const member = next === -1 ? inline(made) : `${JSON.stringify(next)}: ${inline(made)}`;
  return inserted(text, parent.node, member);
}

function deepest(root: Node, path: JSONPath): { readonly node: Node; readonly depth: number } {
  let found = { node: root, depth: 0 };
  for (let depth = 1; depth < path.length; depth += 1) {
    const node = findNodeAtLocation(root, path.slice(0, depth));
    if (node?.type !== "object" && node?.type !== "array") break;
    found = { node, depth };
  }
  return found;
}

/** Inserts the last member of an object or array, on its own line if the other members are. */
function inserted(text: string, parent: Node, member: string): string {
  const close = parent.offset + parent.length - 1;
  const last = parent.children?.at(-1);
  if (last === undefined) return filled(text, parent, member);
  const end = last.offset + last.length;
  const indent = indentOf(text, last.offset);
  if (indent === null) return spliced(text, end, 0, `, ${member}`);
  const eol = text.includes("\r\n") ? "\r\n" : "\n";
  const hadComma = withoutComments(text.slice(end, close)).includes(",");
  // After the comma and the comments that follow the last member.
  const at = end + text.slice(end, close).trimEnd().length;
  const added = spliced(text, at, 0, `${eol}${indent}${member}${hadComma ? "," : ""}`);
  return hadComma ? added : spliced(added, end, 0, ",");
}

/** Inserts the first member of an object or array that has only white space and comments. */
function filled(text: string, { type, offset, length }: Node, member: string): string {
  const close = offset + length - 1;
  const between = text.slice(offset + 1, close);
  const at = offset + 1 + between.trimEnd().length;
  if (between.includes("\n")) return spliced(text, at, close - at, `\n  ${member}\n`);
  return spliced(text, at, close - at, type === "object" ? ` ${member} ` : member);
}

/** The white space before the first character of a line; null: `offset` is not the first character of a line. */
function indentOf(text: string, offset: number): string | null {
  const start = text.lastIndexOf("\n", offset - 1) + 1;
  const before = text.slice(start, offset);
  return start > 0 && before.trim() === "" ? before : null;
}

function withoutComments(text: string): string {
  return text.replaceAll(/\/\/.*|\/\*[\s\S]*?\*\//g, "");
}

function spliced(text: string, offset: number, length: number, by: string): string {
  return text.slice(0, offset) + by + text.slice(offset + length);
}

/** `[{ "binding": "MY_CERT" }]`, on one line with spaces. */
function inline(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(inline).join(", ")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const members = Object.entries(value).map(
    ([name, of]) => `${JSON.stringify(name)}: ${inline(of)}`,
  );
  return `{ ${members.join(", ")} }`;
}
